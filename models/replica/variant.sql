{{ config(order_by=['id']) }}
select
    id,
    product_id,
    price,
    title,
    created_at,
    updated_at,
    ingested_at,
    partition_date
from {{ source('landing', 'variant') }}
