{#- Revenue and item sales for each combination of the dimensions.
    Orders and products are counted anew for each, since distinct counts do not add up. -#}
{% macro sales_by(dimensions) -%}
select
    {%- for dimension in dimensions %}
    {{ dimension }},
    {%- endfor %}
    cast(sum(revenue) as bigint) as revenue_ordered,
    cast(sum(case when order_status = 'success' then revenue else 0 end) as bigint) as revenue_paid,
    cast(sum(quantity) as bigint) as units,
    count(distinct order_id) as orders,
    count(distinct product_id) as distinct_products
from {{ ref('int_sales') }}
group by {{ dimensions | join(', ') }}
{%- endmacro %}
