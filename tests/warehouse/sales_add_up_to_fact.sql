-- Revenue and units add up to the fact's, by whatever they are grouped.
{%- set tables = [
    'sales_by_date',
    'sales_by_product',
    'sales_by_customer',
    'sales_by_product_date',
    'sales_by_customer_date',
    'sales_by_product_customer',
    'sales_by_product_customer_date',
] %}
with fact as (

    select
        sum(revenue) as revenue,
        sum(case when order_status = 'success' then revenue else 0 end) as revenue_paid,
        sum(quantity) as units
    from {{ ref('dwd_orders_variant_status') }}

),

sales as (

    {%- for table in tables %}
    select
        '{{ table }}' as table_name,
        sum(revenue_ordered) as revenue,
        sum(revenue_paid) as revenue_paid,
        sum(units) as units
    from {{ ref(table) }}
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

)

select sales.table_name, sales.revenue, fact.revenue as fact_revenue
from sales
cross join fact
where sales.revenue <> fact.revenue
    or sales.revenue_paid <> fact.revenue_paid
    or sales.units <> fact.units
