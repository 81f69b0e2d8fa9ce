-- An order is paid if and only if one of its attempts succeeded, whatever came after.
with paid as (

    select distinct attempt.order_id
    from {{ ref('transaction') }} as attempt
    left join {{ ref('transactions_waiting') }} as waiting
        on waiting.transaction_id = attempt.id
    where attempt.status = 'success'
        and waiting.transaction_id is null

)

select fact.order_id, fact.order_status, fact.partition_date
from {{ ref('dwd_orders_variant_status') }} as fact
left join paid
    on paid.order_id = fact.order_id
where (paid.order_id is not null and fact.order_status <> 'success')
    or (paid.order_id is null and fact.order_status = 'success')
