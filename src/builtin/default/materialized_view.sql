{# The materialization `materialized_view`, for databases that have them; the statements are the dialect's. #}

{% materialization materialized_view, default -%}
  {%- set target_relation = this.incorporate(type=this.MaterializedView) -%}
  {%- set existing_relation = load_cached_relation(this) -%}
  {%- set grant_config = config.get('grants') -%}
  {%- set is_there = existing_relation is not none and existing_relation.is_materialized_view and not should_full_refresh() -%}

  {{- run_hooks(pre_hooks, inside_transaction=false) -}}
  {{- run_hooks(pre_hooks, inside_transaction=true) -}}

  {%- set changes = none -%}
  {%- if is_there -%}
    {%- set changes = get_materialized_view_configuration_changes(existing_relation, config) -%}
  {%- endif -%}
  {%- if may_apply_configuration_changes(target_relation, changes) -%}
    {%- do publish_materialized_view(target_relation, existing_relation, compiled_code, is_there, changes) -%}
    {%- do apply_grants(target_relation, grant_config, should_revoke=should_revoke(existing_relation, full_refresh_mode=true)) -%}
    {%- do persist_docs(target_relation, model) -%}
  {%- elif is_kept_fresh() -%}
    {%- do publish_materialized_view(target_relation, existing_relation, compiled_code, is_there, none) -%}
  {%- endif -%}

  {{- run_hooks(post_hooks, inside_transaction=true) -}}
  {%- do adapter.commit() -%}
  {{- run_hooks(post_hooks, inside_transaction=false) -}}

  {{- return({'relations': [target_relation]}) -}}
{%- endmaterialization %}


{#
  Whether changes of the configuration, none where there are none, are to be made: `continue` warns
  and leaves all as it is, `fail` fails.
#}
{% macro may_apply_configuration_changes(target_relation, changes) -%}
  {%- set reaction = config.get('on_configuration_change') or 'apply' -%}
  {%- if reaction not in ['apply', 'continue', 'fail'] -%}
    {%- do exceptions.raise_compiler_error('`on_configuration_change` is `' ~ reaction ~ '`, which is none of `apply`, `continue`, `fail`') -%}
  {%- endif -%}
  {%- if changes is none or reaction == 'apply' -%}
    {%- do return(true) -%}
  {%- elif reaction == 'fail' -%}
    {%- do exceptions.raise_fail_fast_error(
      'Configuration changes were identified and `on_configuration_change` was set to `fail` for `' ~ target_relation.render() ~ '`'
    ) -%}
  {%- endif -%}
  {%- do exceptions.warn(
    'Configuration changes were identified and `on_configuration_change` was set to `continue` for `' ~ target_relation.render() ~ '`'
  ) -%}
  {%- do store_raw_result(name='main', message='skip ' ~ target_relation, code='skip', rows_affected='-1') -%}
  {%- do return(false) -%}
{%- endmacro %}


{# Whether the engine says of the model that it holds what its inputs hold, so that it has to. #}
{% macro is_kept_fresh() -%}
  {%- do return(config.get('rebuild') == 'when_stale') -%}
{%- endmacro %}


{# Makes it, or changes what is asked to change, or takes in new rows. The statement `main` is one of these. #}
{% macro publish_materialized_view(target_relation, existing_relation, compiled_code, is_there, changes) -%}
  {%- if not is_there -%}
    {%- do log('Applying ' ~ ('CREATE' if existing_relation is none else 'REPLACE') ~ ' to: ' ~ target_relation) -%}
    {{- adapter.dispatch('replace_with_materialized_view', 'dbt')(target_relation, existing_relation, compiled_code) -}}
  {%- else -%}
    {%- call statement('main') -%}
      {%- if changes is none -%}
        {{- refresh_materialized_view(target_relation) -}}
      {%- else -%}
        {{- get_alter_materialized_view_as_sql(
          target_relation, changes, compiled_code, existing_relation,
          make_backup_relation(target_relation, existing_relation.type), make_intermediate_relation(target_relation)
        ) -}}
      {%- endif -%}
    {%- endcall -%}
  {%- endif -%}
{%- endmacro %}

{% macro default__replace_with_materialized_view(target_relation, existing_relation, compiled_code) -%}
  {%- if existing_relation is not none -%}
    {%- do adapter.begin() -%}
    {%- do adapter.drop_relation(existing_relation) -%}
  {%- endif -%}
  {%- call statement('main') -%}
    {{- get_create_materialized_view_as_sql(target_relation, compiled_code) -}}
  {%- endcall -%}
{%- endmacro %}


{% macro get_create_materialized_view_as_sql(relation, sql) -%}
  {{- adapter.dispatch('get_create_materialized_view_as_sql', 'dbt')(relation, sql) -}}
{%- endmacro %}

{% macro default__get_create_materialized_view_as_sql(relation, sql) -%}
  {%- do exceptions.raise_compiler_error('`materialized_view` has not been implemented for this database') -%}
{%- endmacro %}


{% macro refresh_materialized_view(relation) -%}
  {%- do log('Applying REFRESH to: ' ~ relation) -%}
  {{- adapter.dispatch('refresh_materialized_view', 'dbt')(relation) -}}
{%- endmacro %}

{% macro default__refresh_materialized_view(relation) -%}
  {%- do exceptions.raise_compiler_error('`refresh_materialized_view` has not been implemented for this database') -%}
{%- endmacro %}


{% macro get_alter_materialized_view_as_sql(relation, configuration_changes, sql, existing_relation, backup_relation, intermediate_relation) -%}
  {%- do log('Applying ALTER to: ' ~ relation) -%}
  {{- adapter.dispatch('get_alter_materialized_view_as_sql', 'dbt')(relation, configuration_changes, sql, existing_relation, backup_relation, intermediate_relation) -}}
{%- endmacro %}

{% macro default__get_alter_materialized_view_as_sql(relation, configuration_changes, sql, existing_relation, backup_relation, intermediate_relation) -%}
  {%- do exceptions.raise_compiler_error('`get_alter_materialized_view_as_sql` has not been implemented for this database') -%}
{%- endmacro %}


{# What of the configuration differs from what is there; none where nothing does. #}
{% macro get_materialized_view_configuration_changes(existing_relation, new_config) -%}
  {{- return(adapter.dispatch('get_materialized_view_configuration_changes', 'dbt')(existing_relation, new_config)) -}}
{%- endmacro %}

{% macro default__get_materialized_view_configuration_changes(existing_relation, new_config) -%}
  {%- do return(none) -%}
{%- endmacro %}


{% macro drop_materialized_view(relation) -%}
  {{- adapter.dispatch('drop_materialized_view', 'dbt')(relation) -}}
{%- endmacro %}

{% macro default__drop_materialized_view(relation) -%}
drop materialized view if exists {{ relation.render() }}
{%- endmacro %}


{% macro get_rename_materialized_view_sql(relation, new_name) -%}
  {{- adapter.dispatch('get_rename_materialized_view_sql', 'dbt')(relation, new_name) -}}
{%- endmacro %}

{% macro default__get_rename_materialized_view_sql(relation, new_name) -%}
alter materialized view {{ relation }} rename to {{ new_name }}
{%- endmacro %}


{% macro get_show_indexes_sql(relation) -%}
  {{- adapter.dispatch('get_show_indexes_sql', 'dbt')(relation) -}}
{%- endmacro %}


{% macro get_drop_index_sql(relation, index_name) -%}
  {{- adapter.dispatch('get_drop_index_sql', 'dbt')(relation, index_name) -}}
{%- endmacro %}
