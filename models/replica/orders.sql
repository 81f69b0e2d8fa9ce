{{ config(order_by=['id']) }}
select
    id,
    processed_timestamp,
    customer_id,
    partition_date
from {{ source('landing', 'orders') }}
