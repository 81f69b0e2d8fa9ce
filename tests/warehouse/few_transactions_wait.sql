{{ config(severity='warn', warn_if='>5') }}
-- Some wait for an order that lands later; many point to a batch of orders that never came.
select transaction_id, order_id, reason, partition_date
from {{ ref('transactions_waiting') }}
