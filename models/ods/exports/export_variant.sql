{{ config(export={'to': 'landing.variant', 'mode': 'dump', 'order_by': ['id collate "C"']}) }}
select
    id,
    product_id,
    price,
    title,
    created_at,
    updated_at,
    ingested_at
from {{ ref('ods_variant') }}
