{{ config(alias='variant', indexes=[{'columns': ['product_id']}]) }}
select
    id,
    product_id,
    price,
    title,
    created_at,
    updated_at,
    ingested_at
from {{ source('inbox', 'variant') }}
