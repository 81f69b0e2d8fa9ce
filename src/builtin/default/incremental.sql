{# The materialization `incremental`. #}

{% materialization incremental, default -%}
  {%- set target_relation = this.incorporate(type='table') -%}
  {%- set existing_relation = load_cached_relation(this) -%}
  {%- set full_refresh_mode = should_full_refresh() or (existing_relation is not none and not existing_relation.is_table) -%}
  {%- set grant_config = config.get('grants') -%}
  {%- set strategy = config.get('incremental_strategy') or 'default' -%}
  {%- set strategy_macro = adapter.get_incremental_strategy_macro(context, strategy) -%}
  {%- set on_schema_change = incremental_validate_on_schema_change(config.get('on_schema_change'), default='ignore') -%}

  {{- run_hooks(pre_hooks, inside_transaction=false) -}}
  {{- run_hooks(pre_hooks, inside_transaction=true) -}}

  {%- if existing_relation is none or full_refresh_mode -%}
    {%- do publish_table(target_relation, existing_relation, compiled_code) -%}
  {%- else -%}
    {%- set temp_relation = make_temp_relation(target_relation) -%}
    {%- do adapter.begin() -%}
    {%- do create_incremental_temp(temp_relation, compiled_code) -%}
    {%- do expand_incremental_columns(temp_relation, existing_relation) -%}
    {%- set dest_columns = process_schema_changes(on_schema_change, temp_relation, existing_relation) -%}
    {%- if not dest_columns -%}
      {%- set dest_columns = adapter.get_columns_in_relation(existing_relation) -%}
    {%- endif -%}
    {%- set arguments = {
      'target_relation': target_relation,
      'temp_relation': temp_relation,
      'unique_key': config.get('unique_key'),
      'dest_columns': dest_columns,
      'incremental_predicates': config.get('predicates', none) or config.get('incremental_predicates', none),
    } -%}
    {%- call statement('main', auto_begin=incremental_needs_transaction()) -%}
      {{- strategy_macro(arguments) -}}
    {%- endcall -%}
    {%- do drop_incremental_temp(temp_relation) -%}
  {%- endif -%}

  {%- do apply_grants(target_relation, grant_config, should_revoke=should_revoke(existing_relation, full_refresh_mode)) -%}
  {%- do persist_docs(target_relation, model) -%}

  {{- run_hooks(post_hooks, inside_transaction=true) -}}
  {%- do adapter.commit() -%}
  {{- run_hooks(post_hooks, inside_transaction=false) -}}

  {{- return({'relations': [target_relation]}) -}}
{%- endmaterialization %}


{# Holds the new rows apart, so that deleting the old ones cannot change what the query reads. #}
{% macro create_incremental_temp(temp_relation, compiled_code) -%}
  {{- adapter.dispatch('create_incremental_temp', 'dbt')(temp_relation, compiled_code) -}}
{%- endmacro %}

{% macro default__create_incremental_temp(temp_relation, compiled_code) -%}
  {%- call statement('create_temp') -%}
    {{- get_create_table_as_sql(true, temp_relation, compiled_code) -}}
  {%- endcall -%}
{%- endmacro %}


{# Makes room for longer texts, where the database has texts of a length. #}
{% macro expand_incremental_columns(temp_relation, existing_relation) -%}
  {{- adapter.dispatch('expand_incremental_columns', 'dbt')(temp_relation, existing_relation) -}}
{%- endmacro %}

{% macro default__expand_incremental_columns(temp_relation, existing_relation) -%}
{%- endmacro %}


{# Whether the statements of the strategy must be begun as a transaction. #}
{% macro incremental_needs_transaction() -%}
  {%- do return(adapter.dispatch('incremental_needs_transaction', 'dbt')()) -%}
{%- endmacro %}

{% macro default__incremental_needs_transaction() -%}
  {%- do return(true) -%}
{%- endmacro %}


{% macro drop_incremental_temp(temp_relation) -%}
  {{- adapter.dispatch('drop_incremental_temp', 'dbt')(temp_relation) -}}
{%- endmacro %}

{# The session outlives the node: a temporary table left behind would meet the next one of its name. #}
{% macro default__drop_incremental_temp(temp_relation) -%}
  {%- call statement('drop_temp') -%}
    drop table if exists {{ temp_relation }}
  {%- endcall -%}
{%- endmacro %}


{% macro is_incremental() -%}
  {%- if not execute -%}
    {%- do return(false) -%}
  {%- endif -%}
  {%- set relation = load_cached_relation(this) -%}
  {%- do return(
    relation is not none
    and relation.type == 'table'
    and model.config.materialized == 'incremental'
    and not should_full_refresh()
  ) -%}
{%- endmacro %}


{% macro should_full_refresh() -%}
  {%- set configured = config.get('full_refresh') -%}
  {%- do return(flags.FULL_REFRESH if configured is none else configured) -%}
{%- endmacro %}


{% macro incremental_validate_on_schema_change(on_schema_change, default='ignore') -%}
  {%- set choices = ['sync_all_columns', 'append_new_columns', 'fail', 'ignore'] -%}
  {%- if on_schema_change is none or on_schema_change == '' -%}
    {%- do return(default) -%}
  {%- endif -%}
  {%- if on_schema_change not in choices -%}
    {%- do exceptions.raise_compiler_error("`on_schema_change` is `" ~ on_schema_change ~ "`, which is none of `" ~ choices | join("`, `") ~ "`") -%}
  {%- endif -%}
  {%- do return(on_schema_change) -%}
{%- endmacro %}


{% macro diff_columns(source_columns, target_columns) -%}
  {%- set names = target_columns | map(attribute='name') | map('lower') | list -%}
  {%- set found = [] -%}
  {%- for column in source_columns if column.name | lower not in names -%}
    {%- do found.append(column) -%}
  {%- endfor -%}
  {%- do return(found) -%}
{%- endmacro %}


{% macro diff_column_data_types(source_columns, target_columns) -%}
  {%- do return(adapter.dispatch('diff_column_data_types', 'dbt')(source_columns, target_columns)) -%}
{%- endmacro %}

{% macro default__diff_column_data_types(source_columns, target_columns) -%}
  {%- set found = [] -%}
  {%- for source in source_columns -%}
    {%- for target in target_columns if target.name | lower == source.name | lower -%}
      {%- if source.data_type != target.data_type and not source.can_expand_to(other_column=target) -%}
        {%- do found.append({'column_name': target.name, 'new_type': source.data_type}) -%}
      {%- endif -%}
    {%- endfor -%}
  {%- endfor -%}
  {%- do return(found) -%}
{%- endmacro %}


{% macro check_for_schema_changes(source_relation, target_relation) -%}
  {%- set source_columns = adapter.get_columns_in_relation(source_relation) -%}
  {%- set target_columns = adapter.get_columns_in_relation(target_relation) -%}
  {%- set source_not_in_target = diff_columns(source_columns, target_columns) -%}
  {%- set target_not_in_source = diff_columns(target_columns, source_columns) -%}
  {%- set new_target_types = diff_column_data_types(source_columns, target_columns) -%}
  {%- do return({
    'schema_changed': (source_not_in_target + target_not_in_source + new_target_types) | length > 0,
    'source_not_in_target': source_not_in_target,
    'target_not_in_source': target_not_in_source,
    'source_columns': source_columns,
    'target_columns': target_columns,
    'new_target_types': new_target_types,
  }) -%}
{%- endmacro %}


{% macro sync_column_schemas(on_schema_change, target_relation, schema_changes_dict) -%}
  {%- set added = schema_changes_dict['source_not_in_target'] -%}
  {%- set removed = schema_changes_dict['target_not_in_source'] if on_schema_change == 'sync_all_columns' else [] -%}
  {%- if added or removed -%}
    {%- do alter_relation_add_remove_columns(target_relation, added, removed) -%}
  {%- endif -%}
  {%- if on_schema_change == 'sync_all_columns' -%}
    {%- for change in schema_changes_dict['new_target_types'] -%}
      {%- do alter_column_type(target_relation, change['column_name'], change['new_type']) -%}
    {%- endfor -%}
  {%- endif -%}
{%- endmacro %}


{# Gives the columns to insert; an empty dict where the caller may as well take the target's. #}
{% macro process_schema_changes(on_schema_change, source_relation, target_relation) -%}
  {%- if on_schema_change == 'ignore' -%}
    {%- do return({}) -%}
  {%- endif -%}
  {%- set changes = check_for_schema_changes(source_relation, target_relation) -%}
  {%- if changes['schema_changed'] -%}
    {%- if on_schema_change == 'fail' -%}
      {%- set told = [] -%}
      {%- for column in changes['source_not_in_target'] %}{% do told.append('`' ~ column.name ~ '` is new') %}{% endfor -%}
      {%- for column in changes['target_not_in_source'] %}{% do told.append('`' ~ column.name ~ '` is gone') %}{% endfor -%}
      {%- for change in changes['new_target_types'] %}{% do told.append('`' ~ change['column_name'] ~ '` became `' ~ change['new_type'] ~ '`') %}{% endfor -%}
      {%- do exceptions.raise_compiler_error(
        'the columns of `' ~ target_relation ~ '` have changed (' ~ told | join(', ')
        ~ ') and `on_schema_change` is `fail`; rebuild it with --full-refresh, or choose `append_new_columns` or `sync_all_columns`'
      ) -%}
    {%- endif -%}
    {%- do sync_column_schemas(on_schema_change, target_relation, changes) -%}
  {%- endif -%}
  {%- do return(changes['source_columns']) -%}
{%- endmacro %}
