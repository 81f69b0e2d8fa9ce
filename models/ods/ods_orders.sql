{{ config(
    alias='orders',
    indexes=[{'columns': ['customer_id']}],
    retention='3 days',
    retention_field='processed_timestamp',
) }}
select
    id,
    processed_timestamp,
    customer_id
from {{ source('inbox', 'orders') }}
