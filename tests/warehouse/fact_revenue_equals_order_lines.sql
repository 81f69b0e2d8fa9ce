-- To the cent, on every day, and with as many rows and units: nothing fans out, nothing is lost.
with fact as (

    select partition_date, count(*) as line_count, sum(quantity) as units, sum(revenue) as revenue
    from {{ ref('dwd_orders_variant_status') }}
    group by partition_date

),

lines as (

    select partition_date, count(*) as line_count, sum(quantity) as units, sum(revenue) as revenue
    from {{ ref('order_lines') }}
    group by partition_date

)

-- A day is judged once the fact has it: it is built day by day.
select
    fact.partition_date,
    fact.revenue as fact_revenue,
    lines.revenue as lines_revenue
from fact
left join lines
    on lines.partition_date = fact.partition_date
where lines.partition_date is null
    or fact.line_count <> lines.line_count
    or fact.units <> lines.units
    or fact.revenue <> lines.revenue
