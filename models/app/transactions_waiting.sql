{{ config(materialized='view') }}
-- Transactions that no order has taken up: theirs has not landed, or lies outside the window of
-- `int_order_payment`.
select
    attempt.id as transaction_id,
    attempt.order_id,
    attempt.status,
    attempt.created_at,
    case when placed.id is null then 'no order' else 'outside window' end as reason,
    attempt.partition_date
from {{ ref('transaction') }} as attempt
left join {{ ref('orders') }} as placed
    on placed.id = attempt.order_id
where placed.id is null
    or attempt.partition_date < placed.partition_date - 1
    or attempt.partition_date > placed.partition_date + 3
