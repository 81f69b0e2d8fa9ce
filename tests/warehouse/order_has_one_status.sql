-- All lines of an order tell the same status and times.
select order_id
from {{ ref('dwd_orders_variant_status') }}
group by order_id
having count(distinct order_status) > 1
    or count(distinct order_created_at) > 1
    or count(distinct order_processed_timestamp) > 1
    or count(distinct partition_date) > 1
