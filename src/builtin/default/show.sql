{# `show`: a query, cut short. #}

{% macro get_show_sql(compiled_code, sql_header, limit) -%}
{%- if sql_header is not none -%}
{{ sql_header }}
{% endif -%}
{{ get_limit_subquery_sql(compiled_code, limit) if limit is not none else compiled_code }}
{%- endmacro %}


{% macro get_limit_subquery_sql(sql, limit) -%}
  {{- get_limit_sql(sql, limit) -}}
{%- endmacro %}


{% macro get_limit_subquery(sql, limit) -%}
  {{- get_limit_sql(sql, limit) -}}
{%- endmacro %}


{% macro get_limit_sql(sql, limit) -%}
  {{- adapter.dispatch('get_limit_sql', 'dbt')(sql, limit) -}}
{%- endmacro %}

{% macro default__get_limit_sql(sql, limit) -%}
{{ sql }}
{%- if limit is not none %}
limit {{ limit }}
{%- endif -%}
{%- endmacro %}
