{{ config(materialized='ephemeral') }}
-- The fact with its customer, who comes from the dimension of the same day.
select
    fact.partition_date,
    customers.customer_id,
    fact.product_id,
    fact.order_id,
    fact.order_status,
    fact.quantity,
    fact.revenue
from {{ ref('dwd_orders_variant_status') }} as fact
left join {{ ref('dim_customer_orders') }} as customers
    on customers.order_id = fact.order_id
    and customers.partition_date = fact.partition_date
