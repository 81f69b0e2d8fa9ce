{# Days with fewer rows than this share of the day before (0.5: at most halved). #}
{% test steady_row_count(model, at_least) %}
with counts as (

    select partition_date, count(*) as row_count
    from {{ model }}
    group by partition_date

)

select today.partition_date, today.row_count, yesterday.row_count as row_count_before
from counts as today
inner join counts as yesterday
    on yesterday.partition_date = today.partition_date - 1
where today.row_count < yesterday.row_count * {{ at_least }}
{% endtest %}
