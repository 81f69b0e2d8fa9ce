{{ config(order_by=['id']) }}
select
    id,
    order_id,
    status,
    created_at,
    partition_date
from {{ source('landing', 'transaction') }}
