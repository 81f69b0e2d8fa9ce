{{ config(export={'to': 'landing.order_lines', 'order_by': ['id collate "C"']}) }}
-- A line has no time of its own: its day is its order's.
select
    lines.id,
    lines.quantity,
    lines.variant_id,
    lines.revenue,
    lines.order_id,
    cast(orders.processed_timestamp as date) as partition_date
from {{ ref('ods_order_lines') }} as lines
join {{ ref('ods_orders') }} as orders on orders.id = lines.order_id
