{# Cross-database functions as DuckDB says them, without its ICU extension: no time zone is ever looked up. #}

{# `now()` has a zone, and to take the zone off needs ICU; the epoch does not. #}
{% macro duckdb__current_timestamp() -%}
make_timestamp(epoch_us(now()))
{%- endmacro %}

{% macro duckdb__current_timestamp_backcompat() -%}
make_timestamp(epoch_us(now()))
{%- endmacro %}

{% macro duckdb__current_timestamp_in_utc() -%}
make_timestamp(epoch_us(now()))
{%- endmacro %}

{% macro duckdb__convert_timezone(column, target_tz, source_tz=none) -%}
  {%- if (target_tz | upper) in ['UTC', 'ETC/UTC'] and (source_tz is none or (source_tz | upper) in ['UTC', 'ETC/UTC']) -%}
cast({{ column }} as timestamp)
  {%- else -%}
    {%- do exceptions.raise_not_implemented('time zones in SQL on DuckDB (they need its ICU extension)') -%}
  {%- endif -%}
{%- endmacro %}


{% macro duckdb__dateadd(datepart, interval, from_date_or_timestamp) -%}
date_add({{ from_date_or_timestamp }}, interval ({{ interval }}) {{ datepart }})
{%- endmacro %}

{% macro duckdb__datediff(first_date, second_date, datepart) -%}
  {%- if datepart == 'week' -%}
(date_diff('day', cast({{ first_date }} as timestamp), cast({{ second_date }} as timestamp)) // 7
    + case
        when dayofweek(cast({{ first_date }} as timestamp)) <= dayofweek(cast({{ second_date }} as timestamp))
            then case when {{ first_date }} <= {{ second_date }} then 0 else -1 end
        else case when {{ first_date }} <= {{ second_date }} then 1 else 0 end
    end)
  {%- else -%}
date_diff('{{ datepart }}', cast({{ first_date }} as timestamp), cast({{ second_date }} as timestamp))
  {%- endif -%}
{%- endmacro %}

{% macro duckdb__date(year, month, day) -%}
make_date({{ year }}, {{ month }}, {{ day }})
{%- endmacro %}

{% macro duckdb__last_day(date, datepart) -%}
  {%- if datepart == 'quarter' -%}
cast(date_add(date_trunc('quarter', {{ date }}), interval (3) month) - interval (1) day as date)
  {%- else -%}
{{ dbt.default_last_day(date, datepart) }}
  {%- endif -%}
{%- endmacro %}


{% macro duckdb__safe_cast(field, type) -%}
try_cast({{ field }} as {{ type }})
{%- endmacro %}

{% macro duckdb__any_value(expression) -%}
any_value({{ expression }})
{%- endmacro %}

{% macro duckdb__split_part(string_text, delimiter_text, part_number) -%}
string_split({{ string_text }}, {{ delimiter_text }})[{{ part_number }}]
{%- endmacro %}

{% macro duckdb__listagg(measure, delimiter_text, order_by_clause=none, limit_num=none) -%}
  {%- if limit_num -%}
list_aggr((array_agg({{ measure }}{% if order_by_clause %} {{ order_by_clause }}{% endif %}))[1:{{ limit_num }}], 'string_agg', {{ delimiter_text }})
  {%- else -%}
string_agg({{ measure }}, {{ delimiter_text }}{% if order_by_clause %} {{ order_by_clause }}{% endif %})
  {%- endif -%}
{%- endmacro %}

{% macro duckdb__array_construct(inputs=[], data_type=api.Column.translate_type('integer')) -%}
  {%- if inputs -%}
[{{ inputs | join(', ') }}]
  {%- else -%}
cast([] as {{ data_type }}[])
  {%- endif -%}
{%- endmacro %}

{% macro duckdb__array_append(array, new_element) -%}
list_append({{ array }}, {{ new_element }})
{%- endmacro %}

{% macro duckdb__array_concat(array_1, array_2) -%}
list_concat({{ array_1 }}, {{ array_2 }})
{%- endmacro %}
