{{ config(alias='orders', indexes=[{'columns': ['customer_id']}]) }}
select
    id,
    processed_timestamp,
    customer_id
from {{ source('inbox', 'orders') }}
