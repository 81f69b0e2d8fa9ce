-- depends_on: {{ ref('landing_variant') }}
select
    cast(id as varchar) as id,
    cast(product_id as varchar) as product_id,
    cast(price as integer) as price,
    cast(title as varchar) as title,
    cast(created_at as timestamp) as created_at,
    cast(updated_at as timestamp) as updated_at,
    cast(ingested_at as timestamp) as ingested_at,
    cast(partition_date as date) as partition_date
from {{ source('landing', 'variant') }}
where {{ days_to_build('partition_date') }}
order by partition_date, id
