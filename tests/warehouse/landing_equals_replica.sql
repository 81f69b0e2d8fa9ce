-- Rows and sums of each table and day, from the landing to the replica.
{%- set sums = {
    'transaction': '0',
    'orders': '0',
    'order_lines': 'sum(revenue) + sum(quantity)',
    'product': '0',
    'variant': 'sum(price)',
} %}
with landed as (

    {%- for table, total in sums.items() %}
    select
        '{{ table }}' as table_name,
        cast(partition_date as date) as partition_date,
        count(*) as row_count,
        {{ total }} as total
    from {{ ref('landing_' ~ table) }}
    group by partition_date
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

),

replicated as (

    {%- for table, total in sums.items() %}
    select '{{ table }}' as table_name, partition_date, count(*) as row_count, {{ total }} as total
    from {{ ref(table) }}
    group by partition_date
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

)

select
    coalesce(landed.table_name, replicated.table_name) as table_name,
    coalesce(landed.partition_date, replicated.partition_date) as partition_date,
    landed.row_count as landed_rows,
    replicated.row_count as replicated_rows
from landed
full outer join replicated
    on replicated.table_name = landed.table_name
    and replicated.partition_date = landed.partition_date
where landed.row_count is null
    or replicated.row_count is null
    or landed.row_count <> replicated.row_count
    or landed.total <> replicated.total
