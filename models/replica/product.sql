-- depends_on: {{ ref('landing_product') }}
select
    cast(id as varchar) as id,
    cast(title as varchar) as title,
    cast(product_type as varchar) as product_type,
    cast(created_at as timestamp) as created_at,
    cast(partition_date as date) as partition_date
from {{ source('landing', 'product') }}
where {{ days_to_build('partition_date') }}
order by partition_date, id
