-- The catalogue and the customers' orders have a partition on every day, also when nothing changed.
with days as (

    select partition_date from {{ ref('product') }}
    union
    select partition_date from {{ ref('variant') }}
    union
    select partition_date from {{ ref('transaction') }}

)

{%- for table in ['product', 'variant', 'dim_product', 'dim_customer_orders'] %}
select '{{ table }}' as table_name, days.partition_date
from days
where not exists (select 1 from {{ ref(table) }} as built where built.partition_date = days.partition_date)
{%- if not loop.last %}

union all
{% endif %}
{%- endfor %}
