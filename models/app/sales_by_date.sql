{{ config(materialized='view') }}
{{ sales_by(['partition_date']) }}
