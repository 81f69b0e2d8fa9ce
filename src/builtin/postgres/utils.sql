{# Cross-database functions as Postgres says them. #}

{% macro postgres__current_timestamp() -%}
now()
{%- endmacro %}

{% macro postgres__current_timestamp_backcompat() -%}
current_timestamp::timestamp
{%- endmacro %}

{% macro postgres__current_timestamp_in_utc_backcompat() -%}
(current_timestamp at time zone 'utc')::timestamp
{%- endmacro %}

{% macro postgres__snapshot_get_time() -%}
now()::timestamp
{%- endmacro %}


{% macro postgres__dateadd(datepart, interval, from_date_or_timestamp) -%}
{{ from_date_or_timestamp }} + ((interval '1 {{ datepart }}') * ({{ interval }}))
{%- endmacro %}

{# Counts the borders that are crossed, as other databases do. #}
{% macro postgres__datediff(first_date, second_date, datepart) -%}
  {%- set first = '(' ~ first_date ~ ')::timestamp' -%}
  {%- set second = '(' ~ second_date ~ ')::timestamp' -%}
  {%- if datepart == 'year' -%}
(date_part('year', {{ second }}) - date_part('year', {{ first }}))
  {%- elif datepart == 'quarter' -%}
({{ postgres__datediff(first_date, second_date, 'year') }} * 4 + date_part('quarter', {{ second }}) - date_part('quarter', {{ first }}))
  {%- elif datepart == 'month' -%}
({{ postgres__datediff(first_date, second_date, 'year') }} * 12 + date_part('month', {{ second }}) - date_part('month', {{ first }}))
  {%- elif datepart == 'day' -%}
({{ second }}::date - {{ first }}::date)
  {%- elif datepart == 'week' -%}
({{ postgres__datediff(first_date, second_date, 'day') }} / 7 + case
    when date_part('dow', {{ first }}) <= date_part('dow', {{ second }})
        then case when {{ first }} <= {{ second }} then 0 else -1 end
    else case when {{ first }} <= {{ second }} then 1 else 0 end
end)
  {%- elif datepart == 'hour' -%}
({{ postgres__datediff(first_date, second_date, 'day') }} * 24 + date_part('hour', {{ second }}) - date_part('hour', {{ first }}))
  {%- elif datepart == 'minute' -%}
({{ postgres__datediff(first_date, second_date, 'hour') }} * 60 + date_part('minute', {{ second }}) - date_part('minute', {{ first }}))
  {%- elif datepart == 'second' -%}
({{ postgres__datediff(first_date, second_date, 'minute') }} * 60 + floor(date_part('second', {{ second }})) - floor(date_part('second', {{ first }})))
  {%- elif datepart == 'millisecond' -%}
({{ postgres__datediff(first_date, second_date, 'minute') }} * 60000 + floor(date_part('millisecond', {{ second }})) - floor(date_part('millisecond', {{ first }})))
  {%- elif datepart == 'microsecond' -%}
({{ postgres__datediff(first_date, second_date, 'minute') }} * 60000000 + floor(date_part('microsecond', {{ second }})) - floor(date_part('microsecond', {{ first }})))
  {%- else -%}
    {%- do exceptions.raise_compiler_error('`datediff` knows no part `' ~ datepart ~ '` on Postgres') -%}
  {%- endif -%}
{%- endmacro %}

{% macro postgres__last_day(date, datepart) -%}
  {%- if datepart == 'quarter' -%}
cast(date_trunc('quarter', {{ date }}) + interval '3 month' - interval '1 day' as date)
  {%- else -%}
{{ dbt.default_last_day(date, datepart) }}
  {%- endif -%}
{%- endmacro %}


{% macro postgres__any_value(expression) -%}
min({{ expression }})
{%- endmacro %}

{% macro postgres__split_part(string_text, delimiter_text, part_number) -%}
  {%- if part_number >= 0 -%}
{{ dbt.default__split_part(string_text, delimiter_text, part_number) }}
  {%- else -%}
{{ dbt._split_part_negative(string_text, delimiter_text, part_number) }}
  {%- endif -%}
{%- endmacro %}

{% macro postgres__listagg(measure, delimiter_text, order_by_clause=none, limit_num=none) -%}
  {%- if limit_num -%}
array_to_string((array_agg({{ measure }}{% if order_by_clause %} {{ order_by_clause }}{% endif %}))[1:{{ limit_num }}], {{ delimiter_text }})
  {%- else -%}
string_agg({{ measure }}, {{ delimiter_text }}{% if order_by_clause %} {{ order_by_clause }}{% endif %})
  {%- endif -%}
{%- endmacro %}
