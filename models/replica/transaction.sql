-- depends_on: {{ ref('landing_transaction') }}
select
    cast(id as varchar) as id,
    cast(order_id as varchar) as order_id,
    cast(status as varchar) as status,
    cast(created_at as timestamp) as created_at,
    cast(partition_date as date) as partition_date
from {{ source('landing', 'transaction') }}
where {{ days_to_build('partition_date') }}
order by partition_date, id
