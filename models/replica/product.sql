{{ config(order_by=['id']) }}
select
    id,
    title,
    product_type,
    created_at,
    partition_date
from {{ source('landing', 'product') }}
