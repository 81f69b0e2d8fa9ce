{# Materialized views on Postgres: only their indexes can change without making them anew. #}

{% macro postgres__get_create_materialized_view_as_sql(relation, sql) -%}
create materialized view if not exists {{ relation }} as {{ sql }}
{%- endmacro %}


{# Whatever is there stays until the new one is whole, and what reads it is pointed at the new one. #}
{% macro postgres__replace_with_materialized_view(target_relation, existing_relation, compiled_code) -%}
  {%- set new_relation = target_relation -%}
  {%- if existing_relation is not none -%}
    {%- set new_relation = make_intermediate_relation(target_relation) -%}
    {%- do adapter.begin() -%}
    {%- do postgres__clear_leftover(new_relation) -%}
  {%- endif -%}
  {%- call statement('main') -%}
    {{- get_create_materialized_view_as_sql(new_relation, compiled_code) -}}
  {%- endcall -%}
  {%- if existing_relation is not none -%}
    {%- do postgres__swap(target_relation, existing_relation, new_relation) -%}
  {%- endif -%}
  {%- do create_indexes(target_relation) -%}
{%- endmacro %}


{% macro postgres__refresh_materialized_view(relation) -%}
refresh materialized view {{ relation }}
{%- endmacro %}


{% macro postgres__get_alter_materialized_view_as_sql(relation, configuration_changes, sql, existing_relation, backup_relation, intermediate_relation) -%}
  {{- postgres__update_indexes_on_materialized_view(relation, configuration_changes.indexes) -}}
{%- endmacro %}

{% macro postgres__update_indexes_on_materialized_view(relation, index_changes) -%}
  {%- do log('Applying UPDATE INDEXES to: ' ~ relation) -%}
  {%- for change in index_changes -%}
    {%- if change.action == 'drop' -%}
      {{- get_drop_index_sql(relation, change.context.name) -}}
    {%- else -%}
      {{- get_create_index_sql(relation, change.context) -}}
    {%- endif -%}
    {%- if not loop.last %};
{% endif -%}
  {%- endfor -%}
{%- endmacro %}


{# As dbt compares them: by their columns in any order, `unique`, and the method. What is old goes first. #}
{% macro postgres__get_materialized_view_configuration_changes(existing_relation, new_config) -%}
  {%- set known = {} -%}
  {%- for row in postgres__describe_materialized_view(existing_relation).indexes.rows -%}
    {%- set columns = row['column_names'].split(',') -%}
    {%- do known.update({
      postgres__index_key(columns, row['unique'], row['method']):
        {'name': row['name'], 'columns': columns, 'unique': row['unique'], 'type': row['method']}
    }) -%}
  {%- endfor -%}
  {%- set wanted = {} -%}
  {%- for index in new_config.get('indexes', []) or [] -%}
    {%- set parsed = adapter.parse_index(index) -%}
    {%- do wanted.update({postgres__index_key(parsed.columns, parsed.unique, parsed.type): parsed}) -%}
  {%- endfor -%}
  {%- set changes = [] -%}
  {%- for key, index in known.items() if key not in wanted -%}
    {%- do changes.append({'action': 'drop', 'context': index}) -%}
  {%- endfor -%}
  {%- for key, index in wanted.items() if key not in known -%}
    {%- do changes.append({'action': 'create', 'context': index}) -%}
  {%- endfor -%}
  {%- do return({'indexes': changes, 'requires_full_refresh': false, 'has_changes': true} if changes else none) -%}
{%- endmacro %}

{% macro postgres__index_key(columns, unique, kind) -%}
  {%- do return((columns | map('lower') | sort | join(',')) ~ '/' ~ ('unique' if unique else '') ~ '/' ~ (kind or 'btree')) -%}
{%- endmacro %}


{% macro postgres__describe_materialized_view(relation) -%}
  {%- do return({'indexes': run_query(get_show_indexes_sql(relation))}) -%}
{%- endmacro %}


{% macro postgres__get_show_indexes_sql(relation) -%}
select
  i.relname as name,
  m.amname as method,
  x.indisunique as "unique",
  array_to_string(array_agg(a.attname order by array_position(x.indkey, a.attnum)), ',') as column_names
from pg_catalog.pg_index as x
inner join pg_catalog.pg_class as i on i.oid = x.indexrelid
inner join pg_catalog.pg_am as m on m.oid = i.relam
inner join pg_catalog.pg_class as t on t.oid = x.indrelid
inner join pg_catalog.pg_namespace as n on n.oid = t.relnamespace
inner join pg_catalog.pg_attribute as a on a.attrelid = t.oid and a.attnum = any(x.indkey)
where t.relname = {{ dbt.text_literal(relation.identifier) }}
  and n.nspname = {{ dbt.text_literal(relation.schema) }}
group by 1, 2, 3
order by 1, 2, 3
{%- endmacro %}


{# An index lies in its table's schema. #}
{% macro postgres__get_drop_index_sql(relation, index_name) -%}
drop index if exists {{ relation.include(database=false, identifier=false) }}.{{ adapter.quote(index_name) }}
{%- endmacro %}
