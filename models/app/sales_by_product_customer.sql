{{ sales_by(['product_id', 'customer_id']) }}
