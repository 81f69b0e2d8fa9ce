{{ config(order_by=['order_id']) }}
-- One row an order: its transactions collapse here, so that none of them can multiply its lines.
-- A day reads the transactions from the day before to three days after, and no others.
select
    placed.id as order_id,
    min(attempt.created_at) as first_attempt_at,
    min(case when attempt.status = 'success' then attempt.created_at end) as paid_at,
    cast(count(attempt.id) as integer) as attempts,
    -- Paid stays paid, whatever comes after.
    case
        when count(case when attempt.status = 'success' then 1 end) > 0 then 'success'
        when count(attempt.id) > 0 then 'failure'
        else 'pending'
    end as order_status,
    placed.partition_date
from {{ ref('orders') }} as placed
left join {{ ref('transaction', partitions=window(-1, 3)) }} as attempt
    on attempt.order_id = placed.id
group by placed.id, placed.partition_date
