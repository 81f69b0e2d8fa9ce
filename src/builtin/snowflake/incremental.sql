{# Incremental strategies as Snowflake has them. #}

{% macro snowflake__get_incremental_default_sql(arg_dict) -%}
  {{- return(get_incremental_merge_sql(arg_dict) if arg_dict['unique_key'] else get_incremental_append_sql(arg_dict)) -}}
{%- endmacro %}


{#
  A merge of rows that have no key only adds them, and an insert says that.
#}
{% macro snowflake__get_incremental_merge_sql(arg_dict) -%}
  {%- if arg_dict['unique_key'] -%}
    {{- return(default__get_incremental_merge_sql(arg_dict)) -}}
  {%- endif -%}
  {{- return(get_incremental_append_sql(arg_dict)) -}}
{%- endmacro %}


{# All rows give way to the new ones, in one statement; `overwrite_columns` names those that have a value. #}
{% macro snowflake__get_incremental_insert_overwrite_sql(arg_dict) -%}
{%- set named = config.get('overwrite_columns') -%}
{%- set columns = named | join(', ') if named else get_quoted_csv(arg_dict['dest_columns'] | map(attribute='name')) -%}
insert overwrite into {{ arg_dict['target_relation'] }} ({{ columns }})
select {{ columns }}
from {{ arg_dict['temp_relation'] }}
{%- endmacro %}


{% macro snowflake__get_incremental_microbatch_sql(arg_dict) -%}
  {%- set batch = model.get('batch') -%}
  {%- if not batch -%}
    {%- do exceptions.raise_compiler_error('the incremental strategy `microbatch` works in batches, and this is none') -%}
  {%- endif -%}
  {%- set columns = get_quoted_csv(arg_dict['dest_columns'] | map(attribute='name')) -%}
  {%- set time = config.get('event_time') -%}
delete from {{ arg_dict['target_relation'] }}
where {{ time }} >= to_timestamp_tz('{{ batch.event_time_start }}')
  and {{ time }} < to_timestamp_tz('{{ batch.event_time_end }}')
{%- for predicate in predicate_list(arg_dict['incremental_predicates']) %}
  and ({{ predicate }})
{%- endfor %};

insert into {{ arg_dict['target_relation'] }} ({{ columns }})
select {{ columns }}
from {{ arg_dict['temp_relation'] }}
{%- endmacro %}


{#
  Where the new rows wait: a view where one statement reads them once, else a table, as in dbt;
  `tmp_relation_type` says otherwise. The table is no temporary one: those die with a login, which
  is renewed every hour. DDL would commit the transaction, so it is made before the one that publishes.
#}
{% macro snowflake__incremental_temp_type() -%}
  {%- set strategy = config.get('incremental_strategy') or 'default' -%}
  {%- set wanted = config.get('tmp_relation_type') -%}
  {%- set one_statement = strategy in ['append', 'merge', 'default'] -%}
  {%- if wanted not in [none, 'view', 'table'] -%}
    {%- do exceptions.raise_compiler_error('`tmp_relation_type` is `' ~ wanted ~ '`, which is neither `view` nor `table`') -%}
  {%- elif wanted == 'view' and not one_statement -%}
    {%- do exceptions.raise_compiler_error('`tmp_relation_type: view` does not go with the incremental strategy `' ~ strategy ~ '`, whose delete would change what the view shows') -%}
  {%- endif -%}
  {%- do return(wanted or ('view' if one_statement else 'table')) -%}
{%- endmacro %}

{# One statement commits by itself, in one request instead of three. #}
{% macro snowflake__incremental_needs_transaction() -%}
  {%- do return((config.get('incremental_strategy') or 'default') not in ['append', 'merge', 'default', 'insert_overwrite']) -%}
{%- endmacro %}

{% macro snowflake__create_incremental_temp(temp_relation, compiled_code) -%}
  {%- do adapter.commit() -%}
  {%- call statement('create_temp', auto_begin=false) -%}
    {%- if snowflake__incremental_temp_type() == 'view' -%}
{{ sql_header_text() -}}
create or replace view {{ temp_relation }} as (
{{ compiled_code }}
)
    {%- else -%}
{{ sql_header_text() -}}
create or replace transient table {{ temp_relation }} as (
{{ compiled_code }}
)
    {%- endif -%}
  {%- endcall -%}
{%- endmacro %}

{% macro snowflake__drop_incremental_temp(temp_relation) -%}
  {%- do adapter.commit() -%}
  {%- call statement('drop_temp', auto_begin=false) -%}
    drop {{ snowflake__incremental_temp_type() }} if exists {{ temp_relation }}
  {%- endcall -%}
{%- endmacro %}
