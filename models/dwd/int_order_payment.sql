{%- set days_before, days_after = var('payment_days_before'), var('payment_days_after') -%}
-- One row an order: its transactions collapse here, so that none of them can multiply its lines.
-- A day reads the transactions from the day before to three days after, and no others.
with orders_of_the_day as (

    select id, partition_date
    from {{ ref('orders') }}
    where {{ days_to_build('partition_date', margin=days_after) }}

)

select
    orders_of_the_day.id as order_id,
    min(attempt.created_at) as first_attempt_at,
    min(case when attempt.status = 'success' then attempt.created_at end) as paid_at,
    cast(count(attempt.id) as integer) as attempts,
    -- Paid stays paid, whatever comes after.
    case
        when count(case when attempt.status = 'success' then 1 end) > 0 then 'success'
        when count(attempt.id) > 0 then 'failure'
        else 'pending'
    end as order_status,
    orders_of_the_day.partition_date
from orders_of_the_day
left join {{ ref('transaction') }} as attempt
    on attempt.order_id = orders_of_the_day.id
    and attempt.partition_date between {{ add_days('orders_of_the_day.partition_date', -days_before) }}
        and {{ add_days('orders_of_the_day.partition_date', days_after) }}
group by orders_of_the_day.id, orders_of_the_day.partition_date
order by orders_of_the_day.partition_date, orders_of_the_day.id
