{{ config(alias='transaction', indexes=[{'columns': ['order_id']}]) }}
-- The backend's webhook inserts into it, one row a payment attempt.
