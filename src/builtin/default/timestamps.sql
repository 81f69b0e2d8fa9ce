{# Now, and instants. #}

{% macro current_timestamp() -%}
  {{- adapter.dispatch('current_timestamp', 'dbt')() -}}
{%- endmacro %}

{% macro default__current_timestamp() -%}
  {%- do exceptions.raise_not_implemented('`current_timestamp` of ' ~ adapter.type()) -%}
{%- endmacro %}


{% macro current_timestamp_in_utc() -%}
  {{- adapter.dispatch('current_timestamp_in_utc', 'dbt')() -}}
{%- endmacro %}

{% macro default__current_timestamp_in_utc() -%}
  {{- convert_timezone(current_timestamp(), 'UTC') -}}
{%- endmacro %}


{% macro current_timestamp_backcompat() -%}
  {{- adapter.dispatch('current_timestamp_backcompat', 'dbt')() -}}
{%- endmacro %}

{% macro default__current_timestamp_backcompat() -%}
current_timestamp::timestamp
{%- endmacro %}


{% macro current_timestamp_in_utc_backcompat() -%}
  {{- adapter.dispatch('current_timestamp_in_utc_backcompat', 'dbt')() -}}
{%- endmacro %}

{% macro default__current_timestamp_in_utc_backcompat() -%}
  {{- current_timestamp_in_utc() -}}
{%- endmacro %}


{% macro snapshot_get_time() -%}
  {{- adapter.dispatch('snapshot_get_time', 'dbt')() -}}
{%- endmacro %}

{% macro default__snapshot_get_time() -%}
  {{- current_timestamp() -}}
{%- endmacro %}


{% macro convert_timezone(column, target_tz, source_tz=none) -%}
  {{- adapter.dispatch('convert_timezone', 'dbt')(column, target_tz, source_tz) -}}
{%- endmacro %}

{% macro default__convert_timezone(column, target_tz, source_tz=none) -%}
{%- if source_tz is not none -%}
timezone('{{ target_tz }}', timezone('{{ source_tz }}', cast({{ column }} as timestamp)))
{%- else -%}
timezone('{{ target_tz }}', {{ column }})
{%- endif -%}
{%- endmacro %}
