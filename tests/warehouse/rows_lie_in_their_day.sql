-- A row belongs to the business day of its own clock, half-open; a line to its order's.
select 'orders' as table_name, id, partition_date
from {{ ref('orders') }}
where cast(processed_timestamp as date) <> partition_date

union all

select 'transaction' as table_name, id, partition_date
from {{ ref('transaction') }}
where cast(created_at as date) <> partition_date

union all

select 'order_lines' as table_name, lines.id, lines.partition_date
from {{ ref('order_lines') }} as lines
inner join {{ ref('orders') }} as placed
    on placed.id = lines.order_id
where placed.partition_date <> lines.partition_date
