{{ sales_by(['product_id', 'customer_id', 'partition_date']) }}
