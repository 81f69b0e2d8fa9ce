{# Relations: what there is in a schema, its columns, and the statements that change it. #}

{% macro list_relations_without_caching(schema_relation) -%}
  {%- do return(adapter.dispatch('list_relations_without_caching', 'dbt')(schema_relation)) -%}
{%- endmacro %}

{# Four columns: database, name, schema, type (in dbt's words). #}
{% macro default__list_relations_without_caching(schema_relation) -%}
  {%- set sql -%}
select
  table_catalog as database,
  table_name as name,
  table_schema as schema,
  case table_type when 'VIEW' then 'view' else 'table' end as type
from {{ information_schema_name(schema_relation.database) }}.tables
where lower(table_catalog) = lower({{ dbt.text_literal(schema_relation.database) }})
  and lower(table_schema) = lower({{ dbt.text_literal(schema_relation.schema) }})
  {%- endset -%}
  {%- do return(run_query(sql)) -%}
{%- endmacro %}


{% macro get_columns_in_relation(relation) -%}
  {%- do return(adapter.dispatch('get_columns_in_relation', 'dbt')(relation)) -%}
{%- endmacro %}

{% macro default__get_columns_in_relation(relation) -%}
  {%- set sql -%}
select
  column_name,
  data_type,
  character_maximum_length,
  numeric_precision,
  numeric_scale
from {{ information_schema_name(relation.database) }}.columns
where lower(table_name) = lower({{ dbt.text_literal(relation.identifier) }})
    {%- if relation.schema %}
  and lower(table_schema) = lower({{ dbt.text_literal(relation.schema) }})
    {%- endif %}
    {%- if relation.database %}
  and lower(table_catalog) = lower({{ dbt.text_literal(relation.database) }})
    {%- endif %}
order by ordinal_position
  {%- endset -%}
  {%- do return(sql_convert_columns_in_relation(run_query(sql))) -%}
{%- endmacro %}


{% macro sql_convert_columns_in_relation(table) -%}
  {%- set columns = [] -%}
  {%- for row in table.rows -%}
    {%- do columns.append(api.Column(row[0], row[1], row[2], row[3], row[4])) -%}
  {%- endfor -%}
  {%- do return(columns) -%}
{%- endmacro %}


{# A query of no rows: what it costs is planning, what it tells is columns. #}
{% macro get_empty_subquery_sql(select_sql, select_sql_header=none) -%}
  {{- return(adapter.dispatch('get_empty_subquery_sql', 'dbt')(select_sql, select_sql_header)) -}}
{%- endmacro %}

{% macro default__get_empty_subquery_sql(select_sql, select_sql_header=none) -%}
{%- if select_sql_header is not none %}
{{ select_sql_header }}
{%- endif %}
select * from (
{{ select_sql }}
) as __dbt_sbq
where false
limit 0
{%- endmacro %}


{% macro get_column_schema_from_query(select_sql, select_sql_header=none) -%}
  {%- do return(adapter.get_column_schema_from_query(get_empty_subquery_sql(select_sql, select_sql_header))) -%}
{%- endmacro %}


{% macro get_columns_in_query(select_sql) -%}
  {%- do return(adapter.dispatch('get_columns_in_query', 'dbt')(select_sql)) -%}
{%- endmacro %}

{% macro default__get_columns_in_query(select_sql) -%}
  {%- set table = run_query(get_empty_subquery_sql(select_sql)) -%}
  {%- do return(table.column_names | list if execute else []) -%}
{%- endmacro %}


{% macro alter_column_type(relation, column_name, new_column_type) -%}
  {%- do return(adapter.dispatch('alter_column_type', 'dbt')(relation, column_name, new_column_type)) -%}
{%- endmacro %}

{% macro default__alter_column_type(relation, column_name, new_column_type) -%}
  {%- call statement('alter_column_type') -%}
    alter table {{ relation }} alter column {{ adapter.quote(column_name) }} set data type {{ new_column_type }}
  {%- endcall -%}
{%- endmacro %}


{% macro alter_relation_add_remove_columns(relation, add_columns=none, remove_columns=none) -%}
  {%- do return(adapter.dispatch('alter_relation_add_remove_columns', 'dbt')(relation, add_columns, remove_columns)) -%}
{%- endmacro %}

{# One statement a column: no database here takes both kinds in one, and some take one action only. #}
{% macro default__alter_relation_add_remove_columns(relation, add_columns, remove_columns) -%}
  {%- for column in add_columns or [] -%}
    {%- do run_query('alter table ' ~ relation ~ ' add column ' ~ column.quoted ~ ' ' ~ column.data_type) -%}
  {%- endfor -%}
  {%- for column in remove_columns or [] -%}
    {%- do run_query('alter table ' ~ relation ~ ' drop column ' ~ column.quoted) -%}
  {%- endfor -%}
{%- endmacro %}


{% macro truncate_relation(relation) -%}
  {{- return(adapter.dispatch('truncate_relation', 'dbt')(relation)) -}}
{%- endmacro %}

{% macro default__truncate_relation(relation) -%}
  {%- call statement('truncate_relation') -%}
    truncate table {{ relation.render() }}
  {%- endcall -%}
{%- endmacro %}


{% macro drop_relation(relation) -%}
  {{- return(adapter.dispatch('drop_relation', 'dbt')(relation)) -}}
{%- endmacro %}

{% macro default__drop_relation(relation) -%}
  {%- call statement('drop_relation', auto_begin=false) -%}
    {{- get_drop_sql(relation) -}}
  {%- endcall -%}
{%- endmacro %}


{% macro get_drop_sql(relation) -%}
  {{- adapter.dispatch('get_drop_sql', 'dbt')(relation) -}}
{%- endmacro %}

{# Never cascades: what depends on the relation is somebody's, and must not go unseen. #}
{% macro default__get_drop_sql(relation) -%}
drop {{ (relation.type or 'table') | replace('_', ' ') }} if exists {{ relation.render() }}
{%- endmacro %}


{% macro drop_relation_if_exists(relation) -%}
  {%- if relation is not none -%}
    {%- do adapter.drop_relation(relation) -%}
  {%- endif -%}
{%- endmacro %}


{% macro rename_relation(from_relation, to_relation) -%}
  {{- return(adapter.dispatch('rename_relation', 'dbt')(from_relation, to_relation)) -}}
{%- endmacro %}

{% macro default__rename_relation(from_relation, to_relation) -%}
  {%- call statement('rename_relation') -%}
    alter {{ (from_relation.type or 'table') | replace('_', ' ') }} {{ from_relation.render() }} rename to {{ adapter.quote_as_configured(to_relation.identifier, 'identifier') }}
  {%- endcall -%}
{%- endmacro %}


{% macro make_intermediate_relation(base_relation, suffix='__dbt_tmp') -%}
  {%- do return(adapter.dispatch('make_intermediate_relation', 'dbt')(base_relation, suffix)) -%}
{%- endmacro %}

{% macro default__make_intermediate_relation(base_relation, suffix) -%}
  {%- do return(suffixed_relation(base_relation, suffix)) -%}
{%- endmacro %}


{% macro make_temp_relation(base_relation, suffix='__dbt_tmp') -%}
  {#- Batches of one model may run at the same time. -#}
  {%- if suffix == '__dbt_tmp' and model.batch -%}
    {%- set suffix = suffix ~ '_' ~ model.batch.id -%}
  {%- endif -%}
  {%- do return(adapter.dispatch('make_temp_relation', 'dbt')(base_relation, suffix)) -%}
{%- endmacro %}

{% macro default__make_temp_relation(base_relation, suffix) -%}
  {%- do return(suffixed_relation(base_relation, suffix)) -%}
{%- endmacro %}


{% macro make_backup_relation(base_relation, backup_relation_type, suffix='__dbt_backup') -%}
  {%- do return(adapter.dispatch('make_backup_relation', 'dbt')(base_relation, backup_relation_type, suffix)) -%}
{%- endmacro %}

{% macro default__make_backup_relation(base_relation, backup_relation_type, suffix) -%}
  {%- do return(suffixed_relation(base_relation, suffix).incorporate(type=backup_relation_type)) -%}
{%- endmacro %}


{# A long name gives way to its suffix: databases cut names without a word, and two would become one. #}
{% macro suffixed_relation(base_relation, suffix) -%}
  {%- set longest = base_relation.relation_max_name_length() -%}
  {%- set name = base_relation.identifier -%}
  {#- Databases count bytes, and a letter has up to four. -#}
  {%- if longest and not name.isascii() -%}
    {%- set name = name[:(longest - (suffix | length) - 9) // 4] ~ '_' ~ local_md5(name)[:8] -%}
  {%- elif longest and (name ~ suffix) | length > longest -%}
    {%- set name = name[:longest - (suffix | length) - 9] ~ '_' ~ local_md5(name)[:8] -%}
  {%- endif -%}
  {%- do return(base_relation.incorporate(path={'identifier': name ~ suffix})) -%}
{%- endmacro %}


{% macro load_cached_relation(relation) -%}
  {%- do return(adapter.get_relation(database=relation.database, schema=relation.schema, identifier=relation.identifier)) -%}
{%- endmacro %}


{% macro load_relation(relation) -%}
  {%- do return(load_cached_relation(relation)) -%}
{%- endmacro %}


{% macro get_or_create_relation(database, schema, identifier, type) -%}
  {%- do return(adapter.dispatch('get_or_create_relation', 'dbt')(database, schema, identifier, type)) -%}
{%- endmacro %}

{% macro default__get_or_create_relation(database, schema, identifier, type) -%}
  {%- set found = adapter.get_relation(database=database, schema=schema, identifier=identifier) -%}
  {%- if found -%}
    {%- do return([true, found]) -%}
  {%- endif -%}
  {%- do return([false, api.Relation.create(database=database, schema=schema, identifier=identifier, type=type)]) -%}
{%- endmacro %}
