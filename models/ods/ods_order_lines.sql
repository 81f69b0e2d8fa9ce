{{ config(alias='order_lines', indexes=[{'columns': ['order_id']}]) }}
select
    id,
    quantity,
    variant_id,
    revenue,
    order_id
from {{ source('inbox', 'order_lines') }}
