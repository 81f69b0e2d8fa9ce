{{ config(order_by=['order_id', 'variant_id']) }}
-- One row an order line. Everything else is joined to it by a key, so it can only add columns.
with dumps as (

    select
        id as variant_id,
        product_id,
        row_number() over (partition by id order by partition_date desc) as age
    from {{ ref('variant', partitions=window(-3, 0)) }}

),

-- A variant may have left the catalogue after it was ordered and before the day's dump: then the
-- newest dump that has it tells its product, within the days that a line can be late.
catalogue as (

    select variant_id, product_id
    from dumps
    where age = 1

)

select
    lines.order_id,
    coalesce(payment.order_status, 'pending') as order_status,
    coalesce(payment.first_attempt_at, placed.processed_timestamp) as order_created_at,
    placed.processed_timestamp as order_processed_timestamp,
    lines.quantity,
    lines.variant_id,
    catalogue.product_id,
    lines.revenue,
    lines.partition_date
from {{ ref('order_lines') }} as lines
left join {{ ref('orders') }} as placed
    on placed.id = lines.order_id
left join {{ ref('int_order_payment') }} as payment
    on payment.order_id = lines.order_id
left join catalogue
    on catalogue.variant_id = lines.variant_id
