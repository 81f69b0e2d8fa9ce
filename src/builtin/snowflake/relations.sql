{# What Snowflake has: its catalogue, and statements that change relations in its own way. #}

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


{# The catalogue knows names as they are stored: in upper case, unless they were quoted. #}
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


{# Of a view too, whose columns `comment on column` does not know. #}
{% macro snowflake__alter_column_comment(relation, column_dict) -%}
  {%- for name, column in column_dict.items() -%}
alter {{ 'view' if relation.is_view else 'table' }} {{ relation }} alter column {{ adapter.quote(name) if column.quote else name }} comment {{ dbt.string_literal(dbt.escape_single_quotes(column.description)) }}
    {%- if not loop.last %};
{% endif -%}
  {%- endfor -%}
{%- endmacro %}


{# What the session is set to while a model is built: its warehouse and its query tag. #}
{% macro snowflake__begin_model_session() -%}
  {%- set warehouse = config.get('snowflake_warehouse') -%}
  {%- set query_tag = config.get('query_tag') -%}
  {%- set before = {} -%}
  {%- if warehouse -%}
    {%- do before.update({'warehouse': target.warehouse or run_query('select current_warehouse() as warehouse').rows[0][0]}) -%}
    {%- do run_query('use warehouse ' ~ warehouse) -%}
  {%- endif -%}
  {%- if query_tag -%}
    {%- do before.update({'query_tag': target.query_tag or none}) -%}
    {%- do snowflake__set_query_tag(query_tag) -%}
  {%- endif -%}
  {%- do return(before) -%}
{%- endmacro %}

{% macro snowflake__end_model_session(before) -%}
  {%- if before.get('warehouse') -%}
    {%- do run_query('use warehouse ' ~ before['warehouse']) -%}
  {%- endif -%}
  {%- if 'query_tag' in before -%}
    {%- do snowflake__set_query_tag(before['query_tag']) -%}
  {%- endif -%}
{%- endmacro %}

{% macro snowflake__set_query_tag(query_tag) -%}
  {%- if query_tag is none -%}
    {%- do run_query('alter session unset query_tag') -%}
  {%- else -%}
    {%- set text = query_tag if query_tag is string else tojson(query_tag) -%}
    {%- do run_query('alter session set query_tag = ' ~ dbt.string_literal(dbt.escape_single_quotes(text))) -%}
  {%- endif -%}
{%- endmacro %}
