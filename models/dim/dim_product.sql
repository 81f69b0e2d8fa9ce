{{ config(order_by=['product_id', 'variant_id']) }}
-- Both dumps of the same day. The order prunes: a reader asks for products and their variants.
select
    products.id as product_id,
    products.title,
    products.product_type,
    products.created_at,
    variants.id as variant_id,
    variants.price,
    variants.title as variant_title,
    variants.created_at as variant_created_at,
    variants.updated_at,
    variants.ingested_at,
    variants.partition_date
from {{ ref('variant') }} as variants
inner join {{ ref('product') }} as products
    on products.id = variants.product_id
    and products.partition_date = variants.partition_date
