{{ config(export={'to': 'landing.product', 'mode': 'dump', 'order_by': ['id collate "C"']}) }}
select
    id,
    title,
    product_type,
    created_at
from {{ ref('ods_product') }}
