{# What DuckDB has: its catalogue, and statements that it says in its own way. #}

{% macro duckdb__list_relations_without_caching(schema_relation) -%}
  {%- set sql -%}
select database_name as database, table_name as name, schema_name as schema, 'table' as type
from duckdb_tables()
where {{ duckdb__within_schema(schema_relation) }}
union all
select database_name as database, view_name as name, schema_name as schema, 'view' as type
from duckdb_views()
where {{ duckdb__within_schema(schema_relation) }}
  {%- endset -%}
  {%- do return(run_query(sql)) -%}
{%- endmacro %}

{% macro duckdb__within_schema(schema_relation) -%}
lower(schema_name) = lower({{ dbt.text_literal(schema_relation.schema) }})
    {%- if schema_relation.database %} and lower(database_name) = lower({{ dbt.text_literal(schema_relation.database) }})
    {%- endif %}
{%- endmacro %}


{# A temporary table lies in a catalogue of its own, so a relation without a database is looked up by name. #}
{% macro duckdb__get_columns_in_relation(relation) -%}
  {%- set sql -%}
select
  column_name,
  data_type,
  character_maximum_length,
  numeric_precision,
  numeric_scale
from system.information_schema.columns
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


{% macro duckdb__list_schemas(database) -%}
  {%- set sql -%}
select schema_name
from duckdb_schemas()
    {%- if database %}
where lower(database_name) = lower({{ dbt.text_literal(database) }})
    {%- endif %}
  {%- endset -%}
  {%- do return(run_query(sql)) -%}
{%- endmacro %}


{% macro duckdb__check_schema_exists(information_schema, schema) -%}
  {%- set sql -%}
select count(*)
from system.information_schema.schemata
where lower(schema_name) = lower({{ dbt.text_literal(schema) }})
  and lower(catalog_name) = lower({{ dbt.text_literal(information_schema.database) }})
  {%- endset -%}
  {%- do return(run_query(sql)) -%}
{%- endmacro %}


{% macro duckdb__make_temp_relation(base_relation, suffix) -%}
  {%- do return(suffixed_relation(base_relation, suffix).incorporate(path={'database': none, 'schema': none})) -%}
{%- endmacro %}


{# The type of a column that views read can be changed at any time: they find it by name. #}
{% macro duckdb__truncate_relation(relation) -%}
  {%- call statement('truncate_relation') -%}
    delete from {{ relation.render() }}
  {%- endcall -%}
{%- endmacro %}


{# A unique index still holds the rows that its own transaction has deleted, so the table is made anew. #}
{% macro duckdb__reset_csv_table(model, full_refresh, old_relation, agate_table) -%}
  {%- set anew = full_refresh or (config.get('indexes') or []) | length > 0 -%}
  {%- do return(default__reset_csv_table(model, anew, old_relation, agate_table)) -%}
{%- endmacro %}


{% macro duckdb__get_create_index_sql(relation, index_dict) -%}
  {%- set columns = index_dict['columns'] -%}
  {%- set name = local_md5((columns | join('_')) ~ '_' ~ relation.render() ~ '_' ~ index_dict.get('unique', false)) -%}
  {%- do return('create ' ~ ('unique ' if index_dict.get('unique') else '') ~ 'index if not exists "' ~ name ~ '" on ' ~ relation ~ ' (' ~ columns | join(', ') ~ ')') -%}
{%- endmacro %}


{# An embedded database has one user. #}
{% macro duckdb__apply_grants(relation, grant_config, should_revoke=true) -%}
  {%- if grant_config -%}
    {%- do exceptions.warn('`grants` of `' ~ relation.identifier ~ '` is ignored: DuckDB has no grants') -%}
  {%- endif -%}
{%- endmacro %}
