{{ sales_by(['customer_id', 'partition_date']) }}
