-- The fact has no line id, so its grain is judged by the number of rows of each order and variant.
with fact as (

    select partition_date, order_id, variant_id, count(*) as line_count
    from {{ ref('dwd_orders_variant_status') }}
    group by partition_date, order_id, variant_id

),

lines as (

    select partition_date, order_id, variant_id, count(*) as line_count
    from {{ ref('order_lines') }}
    group by partition_date, order_id, variant_id

)

-- A day is judged once the fact has it: it is built day by day.
select lines.partition_date, lines.order_id, lines.variant_id
from lines
left join fact
    on fact.partition_date = lines.partition_date
    and fact.order_id = lines.order_id
    and fact.variant_id = lines.variant_id
where lines.partition_date in (select partition_date from fact)
    and (
        fact.line_count is null
        or fact.line_count <> lines.line_count
    )
