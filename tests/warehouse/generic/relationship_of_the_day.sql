{# References without their row in the same day's partition of the other relation. #}
{% test relationship_of_the_day(model, column_name, to, field) %}
select child.partition_date, child.{{ column_name }}
from {{ model }} as child
left join {{ to }} as parent
    on parent.{{ field }} = child.{{ column_name }}
    and parent.partition_date = child.partition_date
where child.{{ column_name }} is not null
    and parent.{{ field }} is null
{% endtest %}
