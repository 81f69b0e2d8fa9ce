{{ sales_by(['customer_id']) }}
