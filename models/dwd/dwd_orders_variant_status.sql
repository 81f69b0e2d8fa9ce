-- One row an order line. Everything else is joined to it by a key, so it can only add columns.
with lines as (

    select order_id, variant_id, quantity, revenue, partition_date
    from {{ ref('order_lines') }}
    where {{ days_to_build('partition_date', margin=var('payment_days_after')) }}

),

days as (

    select distinct partition_date
    from lines

),

-- A variant may have left the catalogue after it was ordered and before the day's dump: then the
-- newest dump that has it tells its product.
newest_dump as (

    select
        days.partition_date,
        dump.id as variant_id,
        max(dump.partition_date) as dump_date
    from days
    inner join {{ ref('variant') }} as dump
        on dump.partition_date between {{ add_days('days.partition_date', -var('late_days')) }}
            and days.partition_date
    group by days.partition_date, dump.id

),

catalogue as (

    select
        newest_dump.partition_date,
        newest_dump.variant_id,
        dump.product_id
    from newest_dump
    inner join {{ ref('variant') }} as dump
        on dump.id = newest_dump.variant_id
        and dump.partition_date = newest_dump.dump_date

)

select
    lines.order_id,
    coalesce(payment.order_status, 'pending') as order_status,
    coalesce(payment.first_attempt_at, placed.processed_timestamp) as order_created_at,
    placed.processed_timestamp as order_processed_timestamp,
    lines.quantity,
    lines.variant_id,
    catalogue.product_id,
    lines.revenue,
    lines.partition_date
from lines
left join {{ ref('orders') }} as placed
    on placed.id = lines.order_id
    and placed.partition_date = lines.partition_date
left join {{ ref('int_order_payment') }} as payment
    on payment.order_id = lines.order_id
    and payment.partition_date = lines.partition_date
left join catalogue
    on catalogue.variant_id = lines.variant_id
    and catalogue.partition_date = lines.partition_date
order by lines.partition_date, lines.order_id, lines.variant_id
