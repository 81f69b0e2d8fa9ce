-- depends_on: {{ ref('landing_orders') }}
select
    cast(id as varchar) as id,
    cast(processed_timestamp as timestamp) as processed_timestamp,
    cast(customer_id as varchar) as customer_id,
    cast(partition_date as date) as partition_date
from {{ source('landing', 'orders') }}
where {{ days_to_build('partition_date') }}
order by partition_date, id
