{# Schemas: made, dropped, listed. #}

{% macro create_schema(relation) -%}
  {{- adapter.dispatch('create_schema', 'dbt')(relation) -}}
{%- endmacro %}

{% macro default__create_schema(relation) -%}
  {%- call statement('create_schema') -%}
    create schema if not exists {{ relation.without_identifier() }}
  {%- endcall -%}
{%- endmacro %}


{% macro drop_schema(relation) -%}
  {{- adapter.dispatch('drop_schema', 'dbt')(relation) -}}
{%- endmacro %}

{% macro default__drop_schema(relation) -%}
  {%- call statement('drop_schema') -%}
    drop schema if exists {{ relation.without_identifier() }} cascade
  {%- endcall -%}
{%- endmacro %}


{% macro drop_schema_named(schema_name) -%}
  {{- return(adapter.dispatch('drop_schema_named', 'dbt')(schema_name)) -}}
{%- endmacro %}

{% macro default__drop_schema_named(schema_name) -%}
  {%- do adapter.drop_schema(api.Relation.create(schema=schema_name)) -%}
{%- endmacro %}


{% macro information_schema_name(database) -%}
  {%- do return(adapter.dispatch('information_schema_name', 'dbt')(database)) -%}
{%- endmacro %}

{% macro default__information_schema_name(database) -%}
  {%- if database -%}
    {{- adapter.quote_as_configured(database, 'database') -}}.information_schema
  {%- else -%}
    information_schema
  {%- endif -%}
{%- endmacro %}


{% macro list_schemas(database) -%}
  {%- do return(adapter.dispatch('list_schemas', 'dbt')(database)) -%}
{%- endmacro %}

{% macro default__list_schemas(database) -%}
  {%- set sql -%}
select distinct schema_name
from {{ information_schema_name(database) }}.schemata
where lower(catalog_name) = lower({{ dbt.text_literal(database) }})
  {%- endset -%}
  {%- do return(run_query(sql)) -%}
{%- endmacro %}


{% macro check_schema_exists(information_schema, schema) -%}
  {%- do return(adapter.dispatch('check_schema_exists', 'dbt')(information_schema, schema)) -%}
{%- endmacro %}

{% macro default__check_schema_exists(information_schema, schema) -%}
  {%- set sql -%}
select count(*)
from {{ information_schema_name(information_schema.database) }}.schemata
where lower(catalog_name) = lower({{ dbt.text_literal(information_schema.database) }})
  and lower(schema_name) = lower({{ dbt.text_literal(schema) }})
  {%- endset -%}
  {%- do return(run_query(sql)) -%}
{%- endmacro %}
