{{ sales_by(['product_id']) }}
