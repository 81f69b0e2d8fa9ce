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


{#
  Names as they are stored: in upper case, unless they were quoted. It needs no warehouse, and gives
  a page of names at a time.
#}
{% macro snowflake__list_relations_without_caching(schema_relation) -%}
  {%- set page = 10000 -%}
  {%- set found = [] -%}
  {%- set kinds = {'VIEW': 'view', 'MATERIALIZED_VIEW': 'materialized_view', 'EXTERNAL_TABLE': 'external'} -%}
  {%- set seen = namespace(last=none, ended=false) -%}
  {%- for _ in range(1000) -%}{%- if not seen.ended -%}
    {%- set sql -%}
show objects in schema {{ schema_relation.without_identifier() }} limit {{ page }}
      {%- if seen.last is not none %} from {{ dbt.string_literal(dbt.escape_single_quotes(seen.last)) }}{% endif -%}
    {%- endset -%}
    {%- set rows = run_query(sql).rows -%}
    {%- for row in rows -%}
      {%- do found.append(api.Relation.create(
        database=row['database_name'],
        schema=row['schema_name'],
        identifier=row['name'],
        type='dynamic_table' if row.get('is_dynamic') == 'Y' else kinds.get(row['kind'], 'table')
      )) -%}
      {%- set seen.last = row['name'] -%}
    {%- endfor -%}
    {%- set seen.ended = rows | length < page -%}
  {%- endif -%}{%- endfor -%}
  {%- do return(found) -%}
{%- endmacro %}


{% macro snowflake__alter_column_type(relation, column_name, new_column_type) -%}
  {%- call statement('alter_column_type') -%}
    alter table {{ relation }} alter {{ adapter.quote(column_name) }} set data type {{ new_column_type }}
  {%- endcall -%}
{%- endmacro %}


{% macro snowflake__rename_relation(from_relation, to_relation) -%}
  {%- call statement('rename_relation') -%}
    alter {{ (from_relation.type or 'table') | replace('_', ' ') }} {{ from_relation }} rename to {{ to_relation }}
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
