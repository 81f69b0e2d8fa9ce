-- Rows and sums of each table and day, from the landing files through the replica to the fact.
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
        partition_date,
        count(*) as row_count,
        {{ total }} as total
    from {{ source('landing', table) }}
    group by partition_date
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

),

built as (

    {%- for table, total in sums.items() %}
    select
        'replica' as layer,
        '{{ table }}' as table_name,
        partition_date,
        count(*) as row_count,
        {{ total }} as total
    from {{ ref(table) }}
    group by partition_date
    union all
    {%- endfor %}
    select
        'fact' as layer,
        'order_lines' as table_name,
        partition_date,
        count(*) as row_count,
        {{ sums['order_lines'] }} as total
    from {{ ref('dwd_orders_variant_status') }}
    group by partition_date

),

layers as (

    select distinct layer, table_name
    from built

),

-- A run may be about some days only; each of them has a dump of products.
days as (

    select distinct partition_date
    from {{ ref('product') }}

)

select
    layers.layer,
    landed.table_name,
    landed.partition_date,
    landed.row_count as landed_rows,
    built.row_count as built_rows
from landed
inner join days
    on days.partition_date = landed.partition_date
inner join layers
    on layers.table_name = landed.table_name
left join built
    on built.layer = layers.layer
    and built.table_name = landed.table_name
    and built.partition_date = landed.partition_date
-- A day of the fact may still wait for what it reads.
where (built.row_count is null and layers.layer = 'replica')
    or built.row_count <> landed.row_count
    or built.total <> landed.total

union all

-- Rows of a day that no file tells of.
select
    built.layer,
    built.table_name,
    built.partition_date,
    0 as landed_rows,
    built.row_count as built_rows
from built
left join landed
    on landed.table_name = built.table_name
    and landed.partition_date = built.partition_date
where landed.row_count is null
