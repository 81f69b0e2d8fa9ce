{{ config(order_by=['id']) }}
select
    id,
    quantity,
    variant_id,
    revenue,
    order_id,
    partition_date
from {{ source('landing', 'order_lines') }}
