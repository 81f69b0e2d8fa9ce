-- depends_on: {{ ref('landing_order_lines') }}
select
    cast(id as varchar) as id,
    cast(quantity as integer) as quantity,
    cast(variant_id as varchar) as variant_id,
    cast(revenue as integer) as revenue,
    cast(order_id as varchar) as order_id,
    cast(partition_date as date) as partition_date
from {{ source('landing', 'order_lines') }}
where {{ days_to_build('partition_date') }}
order by partition_date, id
