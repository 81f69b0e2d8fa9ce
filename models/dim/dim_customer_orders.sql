{{ config(order_by=['customer_id', 'order_id']) }}
-- Cumulative: a day holds the orders of the day before and its own. The first day starts from
-- nothing; any other reads exactly the day before, and waits while that is missing.
select customer_id, order_id, {{ partition.date }} as partition_date
from {{ self('previous') }}

union

select customer_id, id as order_id, partition_date
from {{ ref('orders') }}
