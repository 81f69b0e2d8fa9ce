{# Tables, views and indexes: the statements that make them. #}

{% macro get_create_table_as_sql(temporary, relation, sql) -%}
  {{- adapter.dispatch('get_create_table_as_sql', 'dbt')(temporary, relation, sql) -}}
{%- endmacro %}

{% macro default__get_create_table_as_sql(temporary, relation, sql) -%}
  {{- create_table_as(temporary, relation, sql) -}}
{%- endmacro %}


{% macro create_table_as(temporary, relation, compiled_code, language='sql') -%}
  {%- if language != 'sql' -%}
    {%- do exceptions.raise_not_implemented('models in ' ~ language) -%}
  {%- endif -%}
  {{- adapter.dispatch('create_table_as', 'dbt')(temporary, relation, compiled_code) -}}
{%- endmacro %}

{% macro default__create_table_as(temporary, relation, sql) -%}
{{ sql_header_text() -}}
create {% if temporary %}temporary {% endif %}table {{ relation.include(database=(not temporary), schema=(not temporary)) }} as (
{{ sql }}
)
{%- endmacro %}


{% macro get_create_view_as_sql(relation, sql) -%}
  {{- adapter.dispatch('get_create_view_as_sql', 'dbt')(relation, sql) -}}
{%- endmacro %}

{% macro default__get_create_view_as_sql(relation, sql) -%}
  {{- return(create_view_as(relation, sql)) -}}
{%- endmacro %}


{% macro create_view_as(relation, sql) -%}
  {{- adapter.dispatch('create_view_as', 'dbt')(relation, sql) -}}
{%- endmacro %}

{% macro default__create_view_as(relation, sql) -%}
{{ sql_header_text() -}}
create view {{ relation }} as (
{{ sql }}
)
{%- endmacro %}


{# The same, over a view that may be there. #}
{% macro create_or_replace_view_as(relation, sql) -%}
  {{- adapter.dispatch('create_or_replace_view_as', 'dbt')(relation, sql) -}}
{%- endmacro %}

{% macro default__create_or_replace_view_as(relation, sql) -%}
{{- get_create_view_as_sql(relation, sql).replace('create view ', 'create or replace view ', 1) -}}
{%- endmacro %}


{# `sql_header`, on lines of its own before the statement. #}
{% macro sql_header_text() -%}
{%- set header = config.get('sql_header', none) -%}
{%- if header is not none -%}
{{ header }}
{% endif -%}
{%- endmacro %}

{% macro set_sql_header(config) -%}
  {%- do config.set('sql_header', caller()) -%}
{%- endmacro %}


{% macro create_indexes(relation) -%}
  {{- adapter.dispatch('create_indexes', 'dbt')(relation) -}}
{%- endmacro %}

{% macro default__create_indexes(relation) -%}
  {%- for index in config.get('indexes', default=[]) -%}
    {%- set sql = get_create_index_sql(relation, index) -%}
    {%- if sql -%}
      {%- do run_query(sql) -%}
    {%- endif -%}
  {%- endfor -%}
{%- endmacro %}


{% macro get_create_index_sql(relation, index_dict) -%}
  {%- do return(adapter.dispatch('get_create_index_sql', 'dbt')(relation, index_dict)) -%}
{%- endmacro %}

{% macro default__get_create_index_sql(relation, index_dict) -%}
  {%- do return(none) -%}
{%- endmacro %}
