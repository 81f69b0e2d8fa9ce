{{ config(alias='product', deletes={'source': ['inbox', 'removed'], 'key': 'id'}) }}
select
    id,
    title,
    product_type,
    created_at
from {{ source('inbox', 'product') }}
