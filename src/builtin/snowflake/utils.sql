{# Cross-database functions as Snowflake says them. #}

{% macro snowflake__current_timestamp() -%}
convert_timezone('UTC', current_timestamp())
{%- endmacro %}

{% macro snowflake__snapshot_get_time() -%}
to_timestamp_ntz({{ current_timestamp() }})
{%- endmacro %}

{% macro snowflake__current_timestamp_backcompat() -%}
current_timestamp::timestamp
{%- endmacro %}

{% macro snowflake__current_timestamp_in_utc_backcompat() -%}
convert_timezone('UTC', {{ current_timestamp_backcompat() }})::timestamp
{%- endmacro %}

{% macro snowflake__convert_timezone(column, target_tz, source_tz=none) -%}
{%- if source_tz is not none -%}
convert_timezone('{{ source_tz }}', '{{ target_tz }}', {{ column }})
{%- else -%}
convert_timezone('{{ target_tz }}', {{ column }})
{%- endif -%}
{%- endmacro %}


{% macro snowflake__safe_cast(field, type) -%}
  {%- if type | upper == 'GEOMETRY' or type | upper == 'GEOGRAPHY' -%}
try_to_{{ type | lower }}({{ field }})
  {%- elif type | upper != 'VARIANT' -%}
try_cast({{ field }} as {{ type }})
  {%- else -%}
cast({{ field }} as {{ type }})
  {%- endif -%}
{%- endmacro %}

{% macro snowflake__bool_or(expression) -%}
boolor_agg({{ expression }})
{%- endmacro %}

{% macro snowflake__right(string_text, length_expression) -%}
case when {{ length_expression }} = 0 then ''
    else right({{ string_text }}, {{ length_expression }})
end
{%- endmacro %}

{% macro snowflake__escape_single_quotes(expression) -%}
{{ expression | replace("\\", "\\\\") | replace("'", "\\'") }}
{%- endmacro %}

{% macro snowflake__array_construct(inputs=[], data_type=none) -%}
array_construct({{ inputs | join(', ') }})
{%- endmacro %}

{% macro snowflake__last_day(date, datepart) -%}
cast(last_day({{ date }}, {{ datepart }}) as date)
{%- endmacro %}
