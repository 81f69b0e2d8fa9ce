{{ config(
    materialized=kept_by_the_database(),
    target_lag='downstream',
    snowflake_warehouse=target.get('warehouse'),
) }}
{{ sales_by(['partition_date']) }}
