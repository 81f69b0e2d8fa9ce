{# What Postgres has: its catalogue, and statements that it says in its own way. #}

{% macro postgres__list_relations_without_caching(schema_relation) -%}
  {%- set sql -%}
select
  {{ dbt.text_literal(schema_relation.database) }} as database,
  c.relname as name,
  n.nspname as schema,
  case c.relkind
    when 'v' then 'view'
    when 'm' then 'materialized_view'
    when 'f' then 'external'
    else 'table'
  end as type
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'v', 'm', 'f')
  and lower(n.nspname) = lower({{ dbt.text_literal(schema_relation.schema) }})
  {%- endset -%}
  {%- do return(run_query(sql)) -%}
{%- endmacro %}


{# From the catalogue itself: the information schema knows neither materialized views nor temporary schemas by name. #}
{% macro postgres__get_columns_in_relation(relation) -%}
  {%- set sql -%}
select
  a.attname as column_name,
  pg_catalog.format_type(a.atttypid, null) as data_type,
  case when t.typname in ('varchar', 'bpchar') and a.atttypmod > 4 then a.atttypmod - 4 end as character_maximum_length,
  case when t.typname = 'numeric' and a.atttypmod > 4 then ((a.atttypmod - 4) >> 16) & 65535 end as numeric_precision,
  case when t.typname = 'numeric' and a.atttypmod > 4 then (a.atttypmod - 4) & 65535 end as numeric_scale
from pg_catalog.pg_attribute as a
inner join pg_catalog.pg_type as t on t.oid = a.atttypid
where a.attrelid = to_regclass({{ dbt.text_literal(relation.include(database=false).render()) }})
  and a.attnum > 0
  and not a.attisdropped
order by a.attnum
  {%- endset -%}
  {%- do return(sql_convert_columns_in_relation(run_query(sql))) -%}
{%- endmacro %}


{% macro postgres__list_schemas(database) -%}
  {%- set sql -%}
select distinct nspname as schema_name
from pg_catalog.pg_namespace
  {%- endset -%}
  {%- do return(run_query(sql)) -%}
{%- endmacro %}


{% macro postgres__check_schema_exists(information_schema, schema) -%}
  {%- set sql -%}
select count(*)
from pg_catalog.pg_namespace
where lower(nspname) = lower({{ dbt.text_literal(schema) }})
  {%- endset -%}
  {%- do return(run_query(sql)) -%}
{%- endmacro %}


{# `alter table` renames views as well, and every reader of SQL knows it. #}
{% macro postgres__rename_relation(from_relation, to_relation) -%}
  {%- call statement('rename_relation') -%}
    alter table {{ from_relation }} rename to {{ adapter.quote_as_configured(to_relation.identifier, 'identifier') }}
  {%- endcall -%}
{%- endmacro %}


{# Temporary tables lie in a schema of the session. #}
{% macro postgres__make_temp_relation(base_relation, suffix) -%}
  {%- do return(suffixed_relation(base_relation, suffix).incorporate(path={'database': none, 'schema': none})) -%}
{%- endmacro %}


{% macro postgres__alter_column_type(relation, column_name, new_column_type) -%}
  {%- set name = adapter.quote(column_name) -%}
  {%- call statement('alter_column_type') -%}
    alter table {{ relation }} alter column {{ name }} set data type {{ new_column_type }} using {{ name }}::{{ new_column_type }}
  {%- endcall -%}
{%- endmacro %}


{#
  A column that a view reads cannot be altered; dbt drops the view. Here the column stays then, and the
  insert tells whether a text is too long for it.
#}
{% macro postgres__expand_incremental_columns(temp_relation, existing_relation) -%}
  {%- set sized = adapter.get_columns_in_relation(temp_relation) | selectattr('char_size') | list -%}
  {%- if sized -%}
    {%- set known = {} -%}
    {%- for column in adapter.get_columns_in_relation(existing_relation) -%}
      {%- do known.update({column.name | lower: column}) -%}
    {%- endfor -%}
    {%- for column in sized if column.name | lower in known -%}
      {%- set present = known[column.name | lower] -%}
      {%- if present.can_expand_to(other_column=column) -%}
        {%- do adapter.attempt(
          'alter table ' ~ existing_relation ~ ' alter column ' ~ adapter.quote(present.name) ~ ' set data type ' ~ column.data_type
        ) -%}
      {%- endif -%}
    {%- endfor -%}
  {%- endif -%}
{%- endmacro %}


{% macro postgres__create_table_as(temporary, relation, sql) -%}
{%- set name = relation.include(database=false, schema=false) if temporary else relation -%}
{{ sql_header_text() -}}
create {% if temporary %}temporary {% elif config.get('unlogged', default=false) %}unlogged {% endif %}table {{ name }} as (
{{ sql }}
)
{%- endmacro %}


{# The name follows from what the index is, so that two runs agree on whether it is there. #}
{% macro postgres__get_create_index_sql(relation, index_dict) -%}
  {%- set index = adapter.parse_index(index_dict) -%}
  {%- do return(
    'create ' ~ ('unique ' if index.unique else '') ~ 'index if not exists "' ~ postgres__index_name(relation, index)
    ~ '" on ' ~ relation ~ (' using ' ~ index.type if index.type else '') ~ ' (' ~ index.columns | join(', ') ~ ')'
  ) -%}
{%- endmacro %}

{% macro postgres__index_name(relation, index_dict) -%}
  {%- set index = adapter.parse_index(index_dict) -%}
  {%- set parts = index.columns + [relation.render(), index.unique | string, index.type | string] -%}
  {%- do return(local_md5(parts | join('_'))) -%}
{%- endmacro %}


{# From the catalogue itself: the information schema knows no materialized views. #}
{% macro postgres__get_show_grant_sql(relation) -%}
select
  case acl.grantee when 0 then 'PUBLIC' else pg_catalog.pg_get_userbyid(acl.grantee) end as grantee,
  acl.privilege_type
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
cross join lateral pg_catalog.aclexplode(c.relacl) as acl
inner join pg_catalog.pg_roles as own on own.rolname = current_role
where acl.grantor = own.oid
  and acl.grantee <> own.oid
  and n.nspname = {{ dbt.text_literal(relation.schema) }}
  and c.relname = {{ dbt.text_literal(relation.identifier) }}
{%- endmacro %}

{# Who has a right that nobody configured is told by the database, so the name may be any. #}
{% macro postgres__get_revoke_sql(relation, privilege, grantees) -%}
  {%- set names = [] -%}
  {%- for grantee in grantees -%}
    {%- set plain = modules.re.match('^([a-z_][a-z0-9_]*|PUBLIC)$', grantee) -%}
    {%- do names.append(grantee if plain else adapter.quote(grantee)) -%}
  {%- endfor -%}
revoke {{ privilege }} on {{ relation.render() }} from {{ names | join(', ') }}
{%- endmacro %}

{# A view that is replaced keeps its grants, and so does a table whose rows are replaced. #}
{% macro postgres__copy_grants() -%}
  {%- do return(true) -%}
{%- endmacro %}


{# A schema is named without its database here. #}
{% macro postgres__create_schema(relation) -%}
  {%- call statement('create_schema') -%}
    create schema if not exists {{ relation.without_identifier().include(database=false) }}
  {%- endcall -%}
{%- endmacro %}


{% macro postgres__drop_schema(relation) -%}
  {%- call statement('drop_schema') -%}
    drop schema if exists {{ relation.without_identifier().include(database=false) }} cascade
  {%- endcall -%}
{%- endmacro %}
