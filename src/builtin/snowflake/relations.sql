{# What Snowflake has: its catalogue, and statements that it says in its own way. #}

{% macro snowflake__get_columns_in_relation(relation) -%}
  {%- set sql -%}
    describe table {{ relation.render() }}
  {%- endset -%}
  {%- set columns = [] -%}
  {%- for row in run_query(sql).rows -%}
    {%- do columns.append(api.Column.from_description(row['name'], row['type'])) -%}
  {%- endfor -%}
  {%- do return(columns) -%}
{%- endmacro %}


{% macro snowflake__list_relations_without_caching(schema_relation) -%}
  {%- set sql -%}
select
  table_catalog as "database",
  table_name as "name",
  table_schema as "schema",
  case table_type
    when 'VIEW' then 'view'
    when 'MATERIALIZED VIEW' then 'materialized_view'
    when 'EXTERNAL TABLE' then 'external'
    else 'table'
  end as "type"
from {{ information_schema_name(schema_relation.database) }}.tables
where upper(table_schema) = upper({{ dbt.string_literal(schema_relation.schema) }})
  {%- endset -%}
  {%- do return(run_query(sql)) -%}
{%- endmacro %}


{# DDL commits by itself here, so a table and a view change places in one statement each. #}
{% macro snowflake__create_table_as(temporary, relation, sql) -%}
{%- set transient = config.get('transient', default=true) -%}
{%- set cluster_by = config.get('cluster_by', default=none) -%}
{{ sql_header_text() -}}
create {% if temporary %}or replace temporary {% elif transient %}transient {% endif %}table {{ relation }} as (
{{ sql }}
)
{%- if cluster_by and not temporary %};

alter table {{ relation }} cluster by ({{ cluster_by if cluster_by is string else cluster_by | join(', ') }})
{%- endif -%}
{%- endmacro %}


{% macro snowflake__create_or_replace_table_as(relation, sql) -%}
{%- set plain = get_create_table_as_sql(false, relation, sql) -%}
{%- if config.get('transient', default=true) -%}
{{ plain.replace('create transient table ', 'create or replace transient table ', 1) }}
{%- else -%}
{{ plain.replace('create table ', 'create or replace table ', 1) }}
{%- endif -%}
{%- endmacro %}


{% macro snowflake__create_view_as(relation, sql) -%}
{{ sql_header_text() -}}
create {% if config.get('secure', default=false) %}secure {% endif %}view {{ relation }}{% if config.get('copy_grants', default=false) %} copy grants{% endif %} as (
{{ sql }}
)
{%- endmacro %}


{% macro snowflake__create_or_replace_view_as(relation, sql) -%}
{{ get_create_view_as_sql(relation, sql).replace('create ', 'create or replace ', 1) }}
{%- endmacro %}


{# A temporary table would commit the transaction, so it is made before the one that publishes. #}
{% macro snowflake__create_incremental_temp(temp_relation, compiled_code) -%}
  {%- do adapter.commit() -%}
  {%- call statement('create_temp', auto_begin=false) -%}
    {{- get_create_table_as_sql(true, temp_relation, compiled_code) -}}
  {%- endcall -%}
{%- endmacro %}

{% macro snowflake__drop_incremental_temp(temp_relation) -%}
  {%- do adapter.commit() -%}
  {%- call statement('drop_temp', auto_begin=false) -%}
    drop table if exists {{ temp_relation }}
  {%- endcall -%}
{%- endmacro %}


{% macro snowflake__get_incremental_default_sql(arg_dict) -%}
  {{- return(get_incremental_merge_sql(arg_dict) if arg_dict['unique_key'] else get_incremental_append_sql(arg_dict)) -}}
{%- endmacro %}


{% macro snowflake__alter_column_type(relation, column_name, new_column_type) -%}
  {%- call statement('alter_column_type') -%}
    alter table {{ relation }} alter {{ adapter.quote(column_name) }} set data type {{ new_column_type }}
  {%- endcall -%}
{%- endmacro %}


{% macro snowflake__rename_relation(from_relation, to_relation) -%}
  {%- call statement('rename_relation') -%}
    alter {{ from_relation.type or 'table' }} {{ from_relation }} rename to {{ to_relation }}
  {%- endcall -%}
{%- endmacro %}


{% macro snowflake__truncate_relation(relation) -%}
  {%- call statement('truncate_relation') -%}
    delete from {{ relation }}
  {%- endcall -%}
{%- endmacro %}


{% macro snowflake__copy_grants() -%}
  {%- do return(config.get('copy_grants', false)) -%}
{%- endmacro %}

{% macro snowflake__support_multiple_grantees_per_dcl_statement() -%}
  {%- do return(false) -%}
{%- endmacro %}
