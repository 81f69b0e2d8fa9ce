{{ config(export={'to': 'landing.orders', 'order_by': ['id collate "C"']}) }}
select
    id,
    processed_timestamp,
    customer_id,
    cast(processed_timestamp as date) as partition_date
from {{ ref('ods_orders') }}
