{# The materialization `seed`: a CSV file becomes a table. #}

{% materialization seed, default -%}
  {%- set target_relation = this.incorporate(type='table') -%}
  {%- set existing_relation = load_cached_relation(this) -%}
  {%- set full_refresh_mode = should_full_refresh() -%}
  {%- set grant_config = config.get('grants') -%}
  {%- set agate_table = load_agate_table() -%}
  {%- do store_result('agate_table', response='OK', agate_table=agate_table) -%}

  {{- run_hooks(pre_hooks, inside_transaction=false) -}}
  {{- run_hooks(pre_hooks, inside_transaction=true) -}}
  {%- do adapter.begin() -%}

  {%- if existing_relation is none -%}
    {%- set create_table_sql = create_csv_table(model, agate_table) -%}
  {%- elif existing_relation.is_view -%}
    {%- do exceptions.raise_compiler_error('`' ~ existing_relation ~ '` is a view; drop it, or give the seed another alias') -%}
  {%- else -%}
    {%- set create_table_sql = reset_csv_table(model, full_refresh_mode, existing_relation, agate_table) -%}
  {%- endif -%}

  {%- set rows_affected = agate_table.rows | length -%}
  {%- set code = 'CREATE' if full_refresh_mode or existing_relation is none else 'INSERT' -%}
  {%- set sql = load_csv_rows(model, agate_table) -%}
  {%- call noop_statement('main', code ~ ' ' ~ rows_affected, code, rows_affected) -%}
    {{- get_csv_sql(create_table_sql, sql) -}}
  {%- endcall -%}

  {%- do apply_grants(target_relation, grant_config, should_revoke=should_revoke(existing_relation, full_refresh_mode)) -%}
  {%- do persist_docs(target_relation, model) -%}
  {%- do create_indexes(target_relation) -%}

  {{- run_hooks(post_hooks, inside_transaction=true) -}}
  {%- do adapter.commit() -%}
  {{- run_hooks(post_hooks, inside_transaction=false) -}}

  {{- return({'relations': [target_relation]}) -}}
{%- endmaterialization %}


{% macro create_csv_table(model, agate_table) -%}
  {{- adapter.dispatch('create_csv_table', 'dbt')(model, agate_table) -}}
{%- endmacro %}

{% macro default__create_csv_table(model, agate_table) -%}
  {%- set sql = get_create_csv_table_sql(this, agate_table) -%}
  {%- call statement('_') -%}
    {{- sql -}}
  {%- endcall -%}
  {%- do return(sql) -%}
{%- endmacro %}

{% macro get_create_csv_table_sql(relation, agate_table) -%}
{%- set column_types = config.get('column_types', {}) -%}
{%- set quote_columns = config.get('quote_columns', none) -%}
create table {{ relation.render() }} (
    {%- for name in agate_table.column_names %}
    {{ adapter.quote_seed_column(name, quote_columns) }} {{ column_types.get(name, adapter.convert_type(agate_table, loop.index0)) }}
    {%- if not loop.last %},{% endif -%}
    {%- endfor %}
)
{%- endmacro %}


{% macro reset_csv_table(model, full_refresh, old_relation, agate_table) -%}
  {{- adapter.dispatch('reset_csv_table', 'dbt')(model, full_refresh, old_relation, agate_table) -}}
{%- endmacro %}

{# Within a transaction, so a reader never meets the empty table. #}
{% macro default__reset_csv_table(model, full_refresh, old_relation, agate_table) -%}
  {%- if full_refresh -%}
    {%- do adapter.drop_relation(old_relation) -%}
    {%- do return(create_csv_table(model, agate_table)) -%}
  {%- endif -%}
  {%- do adapter.truncate_relation(old_relation) -%}
  {%- do return('truncate table ' ~ old_relation.render()) -%}
{%- endmacro %}


{# Loads in bulk. The text that it gives stands for the rows in the file of what was run. #}
{% macro load_csv_rows(model, agate_table) -%}
  {{- adapter.dispatch('load_csv_rows', 'dbt')(model, agate_table) -}}
{%- endmacro %}

{% macro default__load_csv_rows(model, agate_table) -%}
  {%- do adapter.load_rows(this, agate_table, config.get('quote_columns', none)) -%}
  {%- do return('-- ' ~ agate_table.rows | length ~ ' rows, loaded in bulk') -%}
{%- endmacro %}


{% macro get_csv_sql(create_or_truncate_sql, insert_sql) -%}
  {{- adapter.dispatch('get_csv_sql', 'dbt')(create_or_truncate_sql, insert_sql) -}}
{%- endmacro %}

{% macro default__get_csv_sql(create_or_truncate_sql, insert_sql) -%}
{{ create_or_truncate_sql }};
{{ insert_sql }}
{%- endmacro %}


{% macro get_seed_column_quoted_csv(model, column_names) -%}
  {%- set quote_columns = config.get('quote_columns', none) -%}
  {%- set quoted = [] -%}
  {%- for name in column_names -%}
    {%- do quoted.append(adapter.quote_seed_column(name, quote_columns)) -%}
  {%- endfor -%}
  {%- do return(quoted | join(', ')) -%}
{%- endmacro %}
