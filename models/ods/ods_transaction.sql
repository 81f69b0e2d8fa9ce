{{ config(
    alias='transaction',
    indexes=[{'columns': ['order_id']}],
    retention='3 days',
    retention_field='created_at',
) }}
-- The backend's webhook inserts into it, one row a payment attempt.
