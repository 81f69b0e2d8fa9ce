{#- Whole seconds from one timestamp to another, negative when the second is the earlier. -#}
{% macro seconds_between(earlier, later) -%}
    {{ return(adapter.dispatch('seconds_between')(earlier, later)) }}
{%- endmacro %}

{% macro default__seconds_between(earlier, later) -%}
    cast(datediff('second', {{ earlier }}, {{ later }}) as bigint)
{%- endmacro %}

{% macro postgres__seconds_between(earlier, later) -%}
    cast(extract(epoch from date_trunc('second', {{ later }}) - date_trunc('second', {{ earlier }})) as bigint)
{%- endmacro %}
