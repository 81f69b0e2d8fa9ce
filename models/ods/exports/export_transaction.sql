{{ config(export={'to': 'landing.transaction', 'order_by': ['id collate "C"']}) }}
select
    id,
    order_id,
    status,
    created_at,
    cast(created_at as date) as partition_date
from {{ ref('ods_transaction') }}
