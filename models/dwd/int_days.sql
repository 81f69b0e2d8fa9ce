{{ config(materialized='view') }}
-- Every business day from the first to the newest that any file came for, also without orders.
with recursive newest (partition_date) as (

    select max(partition_date) as partition_date
    from (
        select max(partition_date) as partition_date from {{ ref('transaction') }}
        union all
        select max(partition_date) as partition_date from {{ ref('orders') }}
        union all
        select max(partition_date) as partition_date from {{ ref('variant') }}
    ) as tables

),

days (partition_date) as (

    select cast('{{ var("begin") }}' as date) as partition_date

    union all

    select {{ add_days('days.partition_date', 1) }} as partition_date
    from days
    inner join newest on days.partition_date < newest.partition_date

)

select partition_date
from days
