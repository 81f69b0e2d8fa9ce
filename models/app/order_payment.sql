{{ config(materialized='view') }}
select
    payment.order_id,
    payment.order_status,
    placed.processed_timestamp as order_processed_timestamp,
    payment.first_attempt_at,
    payment.paid_at,
    payment.attempts,
    {{ seconds_between('placed.processed_timestamp', 'payment.paid_at') }} as seconds_from_order_to_payment,
    {{ seconds_between('payment.first_attempt_at', 'payment.paid_at') }} as seconds_from_first_attempt_to_payment,
    payment.partition_date
from {{ ref('int_order_payment') }} as payment
inner join {{ ref('orders') }} as placed
    on placed.id = payment.order_id
    and placed.partition_date = payment.partition_date
