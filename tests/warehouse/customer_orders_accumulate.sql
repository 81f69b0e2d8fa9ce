-- Each day holds what the day before held, and its own orders; the payments have one row for each.
with counts as (

    select partition_date, count(*) as held
    from {{ ref('dim_customer_orders') }}
    group by partition_date

),

own as (

    select partition_date, count(*) as placed
    from {{ ref('int_order_payment') }}
    group by partition_date

)

select counts.partition_date, counts.held, yesterday.held as held_before, own.placed
from counts
left join counts as yesterday
    on yesterday.partition_date = counts.partition_date - 1
left join own
    on own.partition_date = counts.partition_date
-- A day without orders has no payments, and one whose payments still wait has none yet.
where counts.held < coalesce(yesterday.held, 0)
    or counts.held <> coalesce(yesterday.held, 0) + coalesce(own.placed, counts.held - coalesce(yesterday.held, 0))
