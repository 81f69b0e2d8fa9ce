-- Cumulative: a day holds the orders of the day before and its own. The first day starts from
-- nothing; any other reads exactly the day before, and nothing is built while that is missing.
with first_day as (

    select {{ first_day_to_build() }} as partition_date

),

days as (

    select all_days.partition_date
    from {{ ref('int_days') }} as all_days
    cross join first_day
    where all_days.partition_date >= first_day.partition_date
    {%- if var('end_date') is not none %}
        and all_days.partition_date <= cast('{{ var("end_date") }}' as date)
    {%- endif %}

),

previous as (

    {% if is_incremental() -%}
    select built.customer_id, built.order_id
    from {{ this }} as built
    cross join first_day
    where built.partition_date = {{ add_days('first_day.partition_date', -1) }}
    {%- else -%}
    select customer_id, id as order_id
    from {{ ref('orders') }}
    where 1 = 0
    {%- endif %}

),

-- What `previous` must hold, to tell a day that is missing from one that is rightly empty.
earlier as (

    select count(*) as orders
    from {{ ref('orders') }} as replica
    cross join first_day
    where replica.partition_date < first_day.partition_date

),

united as (

    select days.partition_date, previous.customer_id, previous.order_id
    from days
    cross join previous

    union

    select days.partition_date, replica.customer_id, replica.id as order_id
    from days
    cross join first_day
    inner join {{ ref('orders') }} as replica
        on replica.partition_date between first_day.partition_date and days.partition_date

)

select customer_id, order_id, partition_date
from united
where exists (select 1 from previous)
    or exists (select 1 from earlier where earlier.orders = 0)
order by partition_date, customer_id, order_id
