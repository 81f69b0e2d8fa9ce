{# The materialization `table`. #}

{% materialization table, default -%}
  {%- set target_relation = this.incorporate(type='table') -%}
  {%- set existing_relation = load_cached_relation(this) -%}
  {%- set grant_config = config.get('grants') -%}

  {{- run_hooks(pre_hooks, inside_transaction=false) -}}
  {{- run_hooks(pre_hooks, inside_transaction=true) -}}

  {%- do publish_table(target_relation, existing_relation, compiled_code) -%}

  {%- do apply_grants(target_relation, grant_config, should_revoke=should_revoke(existing_relation, full_refresh_mode=true)) -%}
  {%- do persist_docs(target_relation, model) -%}

  {{- run_hooks(post_hooks, inside_transaction=true) -}}
  {%- do adapter.commit() -%}
  {{- run_hooks(post_hooks, inside_transaction=false) -}}

  {{- return({'relations': [target_relation]}) -}}
{%- endmaterialization %}


{# Puts a table where there may be something already. The statement `main` runs the model's query. #}
{% macro publish_table(target_relation, existing_relation, compiled_code) -%}
  {{- adapter.dispatch('publish_table', 'dbt')(target_relation, existing_relation, compiled_code) -}}
{%- endmacro %}

{# For databases whose views find their tables by name, and that replace a table in one statement. #}
{% macro default__publish_table(target_relation, existing_relation, compiled_code) -%}
  {%- if existing_relation is not none and not existing_relation.is_table -%}
    {%- do adapter.begin() -%}
    {%- do adapter.drop_relation(existing_relation) -%}
  {%- endif -%}
  {%- call statement('main') -%}
    {{- create_or_replace_table_as(target_relation, compiled_code) -}}
  {%- endcall -%}
  {%- do create_indexes(target_relation) -%}
{%- endmacro %}


{% macro create_or_replace_table_as(relation, sql) -%}
  {{- adapter.dispatch('create_or_replace_table_as', 'dbt')(relation, sql) -}}
{%- endmacro %}

{% macro default__create_or_replace_table_as(relation, sql) -%}
{{- get_create_table_as_sql(false, relation, sql).replace('create table ', 'create or replace table ', 1) -}}
{%- endmacro %}
