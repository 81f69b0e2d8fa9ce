-- A change is what two consecutive dumps of a variant disagree about.
with dumps as (

    select
        id as variant_id,
        product_id,
        lag(price) over (partition by id order by partition_date) as old_price,
        price as new_price,
        updated_at as changed_at,
        partition_date
    from {{ ref('variant') }}

)

select variant_id, product_id, old_price, new_price, changed_at, partition_date
from dumps
where old_price <> new_price
