{# Incremental strategies. Each takes a dict: target_relation, temp_relation, unique_key, dest_columns, incremental_predicates. #}

{% macro get_incremental_append_sql(arg_dict) -%}
  {{- return(adapter.dispatch('get_incremental_append_sql', 'dbt')(arg_dict)) -}}
{%- endmacro %}

{% macro default__get_incremental_append_sql(arg_dict) -%}
  {{- return(get_insert_into_sql(arg_dict['target_relation'], arg_dict['temp_relation'], arg_dict['dest_columns'])) -}}
{%- endmacro %}


{% macro get_incremental_delete_insert_sql(arg_dict) -%}
  {{- return(adapter.dispatch('get_incremental_delete_insert_sql', 'dbt')(arg_dict)) -}}
{%- endmacro %}

{% macro default__get_incremental_delete_insert_sql(arg_dict) -%}
  {{- return(get_delete_insert_merge_sql(
    arg_dict['target_relation'],
    arg_dict['temp_relation'],
    arg_dict['unique_key'],
    arg_dict['dest_columns'],
    arg_dict['incremental_predicates']
  )) -}}
{%- endmacro %}


{% macro get_incremental_merge_sql(arg_dict) -%}
  {{- return(adapter.dispatch('get_incremental_merge_sql', 'dbt')(arg_dict)) -}}
{%- endmacro %}

{% macro default__get_incremental_merge_sql(arg_dict) -%}
  {{- return(get_merge_sql(
    arg_dict['target_relation'],
    arg_dict['temp_relation'],
    arg_dict['unique_key'],
    arg_dict['dest_columns'],
    arg_dict['incremental_predicates']
  )) -}}
{%- endmacro %}


{% macro get_incremental_insert_overwrite_sql(arg_dict) -%}
  {{- return(adapter.dispatch('get_incremental_insert_overwrite_sql', 'dbt')(arg_dict)) -}}
{%- endmacro %}

{% macro default__get_incremental_insert_overwrite_sql(arg_dict) -%}
  {%- do exceptions.raise_not_implemented('the incremental strategy `insert_overwrite` (there are `append`, `delete+insert` and `merge`)') -%}
{%- endmacro %}


{% macro get_incremental_microbatch_sql(arg_dict) -%}
  {{- return(adapter.dispatch('get_incremental_microbatch_sql', 'dbt')(arg_dict)) -}}
{%- endmacro %}

{% macro default__get_incremental_microbatch_sql(arg_dict) -%}
  {%- do exceptions.raise_not_implemented('the incremental strategy `microbatch` on this database') -%}
{%- endmacro %}


{% macro get_incremental_default_sql(arg_dict) -%}
  {{- return(adapter.dispatch('get_incremental_default_sql', 'dbt')(arg_dict)) -}}
{%- endmacro %}

{# With a key its old rows give way to the new ones, without a key nothing does. #}
{% macro default__get_incremental_default_sql(arg_dict) -%}
  {%- if arg_dict['unique_key'] -%}
    {{- return(get_incremental_delete_insert_sql(arg_dict)) -}}
  {%- else -%}
    {{- return(get_incremental_append_sql(arg_dict)) -}}
  {%- endif -%}
{%- endmacro %}


{% macro get_insert_into_sql(target_relation, temp_relation, dest_columns) -%}
{%- set columns = get_quoted_csv(dest_columns | map(attribute='name')) -%}
insert into {{ target_relation }} ({{ columns }})
select {{ columns }}
from {{ temp_relation }}
{%- endmacro %}


{% macro get_delete_insert_merge_sql(target, source, unique_key, dest_columns, incremental_predicates=none) -%}
  {{- adapter.dispatch('get_delete_insert_merge_sql', 'dbt')(target, source, unique_key, dest_columns, incremental_predicates) -}}
{%- endmacro %}

{% macro default__get_delete_insert_merge_sql(target, source, unique_key, dest_columns, incremental_predicates) -%}
{%- set columns = get_quoted_csv(dest_columns | map(attribute='name')) -%}
{%- if unique_key -%}
{%- if unique_key is string -%}
delete from {{ target }}
where {{ unique_key }} in (
    select distinct {{ unique_key }}
    from {{ source }}
)
{%- else -%}
delete from {{ target }} as DBT_INTERNAL_DEST
where exists (
    select 1
    from {{ source }} as DBT_INTERNAL_SOURCE
    where {% for key in unique_key -%}
    DBT_INTERNAL_SOURCE.{{ key }} = DBT_INTERNAL_DEST.{{ key }}
    {%- if not loop.last %}
      and {% endif -%}
    {%- endfor %}
)
{%- endif -%}
{%- for predicate in predicate_list(incremental_predicates) %}
and {{ predicate }}
{%- endfor %};

{% endif -%}
insert into {{ target }} ({{ columns }})
select {{ columns }}
from {{ source }}
{%- endmacro %}


{% macro get_merge_sql(target, source, unique_key, dest_columns, incremental_predicates=none) -%}
  {{- adapter.dispatch('get_merge_sql', 'dbt')(target, source, unique_key, dest_columns, incremental_predicates) -}}
{%- endmacro %}

{% macro default__get_merge_sql(target, source, unique_key, dest_columns, incremental_predicates=none) -%}
{%- set columns = get_quoted_csv(dest_columns | map(attribute='name')) -%}
{{ sql_header_text() -}}
merge into {{ target }} as DBT_INTERNAL_DEST
using {{ source }} as DBT_INTERNAL_SOURCE
on ({{ merge_condition(unique_key, incremental_predicates) }})
{%- if unique_key %}
when matched then update set
    {% for column in get_merge_update_columns(config.get('merge_update_columns'), config.get('merge_exclude_columns'), dest_columns) -%}
    {{ column }} = DBT_INTERNAL_SOURCE.{{ column }}
    {%- if not loop.last %},
    {% endif -%}
    {%- endfor %}
{%- endif %}
when not matched then insert ({{ columns }})
values (
    {% for column in dest_columns -%}
    DBT_INTERNAL_SOURCE.{{ adapter.quote(column.name) }}
    {%- if not loop.last %},
    {% endif -%}
    {%- endfor %}
)
{%- endmacro %}


{# When a new row is an old one: by its key; without a key never. #}
{% macro merge_condition(unique_key, incremental_predicates=none) -%}
  {%- set conditions = predicate_list(incremental_predicates) -%}
  {%- for key in ([unique_key] if unique_key is string else unique_key or []) -%}
    {%- do conditions.append('DBT_INTERNAL_SOURCE.' ~ key ~ ' = DBT_INTERNAL_DEST.' ~ key) -%}
  {%- endfor -%}
  {%- if not unique_key -%}
    {%- do conditions.append('false') -%}
  {%- endif -%}
  {%- do return(conditions | join(') and (')) -%}
{%- endmacro %}


{% macro get_merge_update_columns(merge_update_columns, merge_exclude_columns, dest_columns) -%}
  {%- do return(adapter.dispatch('get_merge_update_columns', 'dbt')(merge_update_columns, merge_exclude_columns, dest_columns)) -%}
{%- endmacro %}

{% macro default__get_merge_update_columns(merge_update_columns, merge_exclude_columns, dest_columns) -%}
  {%- if merge_update_columns and merge_exclude_columns -%}
    {%- do exceptions.raise_compiler_error('`merge_update_columns` and `merge_exclude_columns` are both set; give one of them') -%}
  {%- elif merge_update_columns -%}
    {%- do return([merge_update_columns] if merge_update_columns is string else merge_update_columns) -%}
  {%- endif -%}
  {%- set excluded = [merge_exclude_columns] if merge_exclude_columns is string else merge_exclude_columns or [] -%}
  {%- set excluded = excluded | map('lower') | list -%}
  {%- set columns = [] -%}
  {%- for column in dest_columns if column.name | lower not in excluded -%}
    {%- do columns.append(column.quoted) -%}
  {%- endfor -%}
  {%- do return(columns) -%}
{%- endmacro %}


{# A copy as a list: predicates may be none, one text or many. #}
{% macro predicate_list(predicates) -%}
  {%- if not predicates -%}
    {%- do return([]) -%}
  {%- endif -%}
  {%- do return([predicates] if predicates is string else predicates | list) -%}
{%- endmacro %}


{% macro get_quoted_csv(column_names) -%}
  {%- set quoted = [] -%}
  {%- for name in column_names -%}
    {%- do quoted.append(adapter.quote(name)) -%}
  {%- endfor -%}
  {%- do return(quoted | join(', ')) -%}
{%- endmacro %}
