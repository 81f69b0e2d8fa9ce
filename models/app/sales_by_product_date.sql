{{ sales_by(['product_id', 'partition_date']) }}
