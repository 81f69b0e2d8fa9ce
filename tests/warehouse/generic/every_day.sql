{# Business days without a partition. #}
{% test every_day(model) %}
select days.partition_date
from {{ ref('int_days') }} as days
left join {{ model }} as built
    on built.partition_date = days.partition_date
where built.partition_date is null
{% endtest %}
