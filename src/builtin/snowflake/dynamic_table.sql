{#
  The materialization `dynamic_table`: a table that the database itself keeps up with its query.

  What is there is left alone while it is what is asked for. The engine, which says of a `when_stale`
  model that it shows what its inputs hold, has it refreshed.
#}

{% materialization dynamic_table, adapter='snowflake' -%}
  {%- set target_relation = this.incorporate(type=this.DynamicTable) -%}
  {%- set existing_relation = load_cached_relation(this) -%}
  {%- set wanted = snowflake__dynamic_table_config(config) -%}
  {%- set is_there = existing_relation is not none and existing_relation.is_dynamic_table and not should_full_refresh() -%}

  {{- run_hooks(pre_hooks, inside_transaction=false) -}}
  {{- run_hooks(pre_hooks, inside_transaction=true) -}}

  {%- set changes = none -%}
  {%- if is_there -%}
    {%- set changes = snowflake__get_dynamic_table_configuration_changes(existing_relation, config) -%}
  {%- endif -%}
  {%- set is_filled = false -%}
  {%- if is_there and changes is none -%}
    {%- do log('No configuration changes were identified on: `' ~ target_relation ~ '`') -%}
    {%- do store_raw_result(name='main', message='skip ' ~ target_relation, code='skip', rows_affected='-1') -%}
  {%- elif may_apply_configuration_changes(target_relation, changes) -%}
    {%- set is_made = not is_there or changes.requires_full_refresh -%}
    {%- if existing_relation is not none and not existing_relation.is_dynamic_table -%}
      {%- do adapter.drop_relation(existing_relation) -%}
    {%- endif -%}
    {%- call statement('main') -%}
      {%- if not is_made -%}
        {{- snowflake__get_alter_dynamic_table_as_sql(existing_relation, changes, target_relation, compiled_code) -}}
      {%- elif existing_relation is not none and existing_relation.is_dynamic_table -%}
        {{- snowflake__get_replace_dynamic_table_sql(target_relation, compiled_code) -}}
      {%- else -%}
        {{- snowflake__get_create_dynamic_table_as_sql(target_relation, compiled_code) -}}
      {%- endif -%}
    {%- endcall -%}
    {%- set is_filled = is_made and wanted.initialize == 'ON_CREATE' -%}
    {%- do apply_grants(target_relation, config.get('grants'), should_revoke=should_revoke(existing_relation, full_refresh_mode=true)) -%}
    {%- do persist_docs(target_relation, model) -%}
  {%- endif -%}
  {%- if wanted.scheduler == 'DISABLE' or (is_kept_fresh() and not is_filled) -%}
    {%- call statement('refresh') -%}
      {{- snowflake__refresh_dynamic_table(target_relation) -}}
    {%- endcall -%}
  {%- endif -%}

  {{- run_hooks(post_hooks, inside_transaction=true) -}}
  {%- do adapter.commit() -%}
  {{- run_hooks(post_hooks, inside_transaction=false) -}}

  {{- return({'relations': [target_relation]}) -}}
{%- endmaterialization %}


{# What a model's config asks for; all that is wrong with it is said at once. #}
{% macro snowflake__dynamic_table_config(config) -%}
  {%- set lag = config.get('target_lag') -%}
  {%- set scheduler = (config.get('scheduler') or 'enable') | upper -%}
  {%- set refresh_mode = (config.get('refresh_mode') or 'auto') | upper -%}
  {%- set initialize = (config.get('initialize') or 'on_create') | upper -%}
  {%- set wrong = [] -%}
  {%- if not config.get('snowflake_warehouse') -%}
    {%- do wrong.append('`snowflake_warehouse` is missing: the warehouse that refreshes it') -%}
  {%- endif -%}
  {%- if scheduler not in ['ENABLE', 'DISABLE'] -%}
    {%- do wrong.append('`scheduler` is `' ~ config.get('scheduler') ~ '`, which is neither `enable` nor `disable`') -%}
  {%- elif scheduler == 'ENABLE' and not lag -%}
    {%- do wrong.append("`target_lag` is missing: how old its rows may be, such as '1 hour' or 'downstream'") -%}
  {%- elif scheduler == 'DISABLE' and lag -%}
    {%- do wrong.append('`scheduler: disable` and `target_lag` contradict each other') -%}
  {%- endif -%}
  {%- if refresh_mode not in ['AUTO', 'FULL', 'INCREMENTAL'] -%}
    {%- do wrong.append('`refresh_mode` is `' ~ config.get('refresh_mode') ~ '`, which is none of `auto`, `full`, `incremental`') -%}
  {%- endif -%}
  {%- if initialize not in ['ON_CREATE', 'ON_SCHEDULE'] -%}
    {%- do wrong.append('`initialize` is `' ~ config.get('initialize') ~ '`, which is neither `on_create` nor `on_schedule`') -%}
  {%- endif -%}
  {%- if wrong -%}
    {%- do exceptions.raise_compiler_error('a dynamic table cannot be made: ' ~ wrong | join('; ')) -%}
  {%- endif -%}
  {%- set keys = config.get('cluster_by') -%}
  {%- do return({
    'target_lag': lag,
    'warehouse': config.get('refresh_warehouse') or config.get('snowflake_warehouse'),
    'initialization_warehouse': config.get('snowflake_initialization_warehouse'),
    'refresh_mode': refresh_mode,
    'initialize': initialize,
    'scheduler': scheduler,
    'cluster_by': keys if keys is none or keys is string else keys | join(', '),
    'immutable_where': config.get('immutable_where'),
  }) -%}
{%- endmacro %}


{% macro snowflake__get_create_dynamic_table_as_sql(relation, sql) -%}
{{ sql_header_text() -}}
{{ snowflake__dynamic_table_as('create', relation, sql) }}
{%- endmacro %}

{% macro snowflake__get_replace_dynamic_table_sql(relation, sql) -%}
{{ sql_header_text() -}}
{{ snowflake__dynamic_table_as('create or replace', relation, sql) }}
{%- endmacro %}

{% macro snowflake__dynamic_table_as(verb, relation, sql) -%}
{%- set wanted = snowflake__dynamic_table_config(config) -%}
{{ verb }} {% if config.get('transient', default=false) %}transient {% endif %}dynamic table {{ relation }}
{%- if wanted.target_lag %}
    target_lag = {{ dbt.string_literal(wanted.target_lag) }}
{%- endif %}
    warehouse = {{ wanted.warehouse }}
{%- if wanted.initialization_warehouse %}
    initialization_warehouse = {{ wanted.initialization_warehouse }}
{%- endif %}
    refresh_mode = {{ wanted.refresh_mode }}
    initialize = {{ wanted.initialize }}
{%- if config.get('scheduler') %}
    scheduler = '{{ wanted.scheduler }}'
{%- endif %}
{%- if config.get('row_access_policy') %}
    with row access policy {{ config.get('row_access_policy') }}
{%- endif %}
{%- if config.get('table_tag') %}
    with tag ({{ config.get('table_tag') }})
{%- endif %}
{%- if wanted.cluster_by %}
    cluster by ({{ wanted.cluster_by }})
{%- endif %}
{%- if config.get('copy_grants', default=false) and verb == 'create or replace' %}
    copy grants
{%- endif %}
{%- if wanted.immutable_where %}
    immutable where ({{ wanted.immutable_where }})
{%- endif %}
as (
{{ sql }}
)
{%- endmacro %}


{% macro snowflake__refresh_dynamic_table(relation) -%}
alter dynamic table {{ relation }} refresh
{%- endmacro %}


{# One statement for what is set, one each for what is a clause of its own. #}
{% macro snowflake__get_alter_dynamic_table_as_sql(existing_relation, configuration_changes, target_relation, sql) -%}
{%- set statements = [] -%}
{%- set settings = [] -%}
{%- if 'target_lag' in configuration_changes -%}
  {%- do settings.append('target_lag = ' ~ dbt.string_literal(configuration_changes.target_lag)) -%}
{%- endif -%}
{%- if 'warehouse' in configuration_changes -%}
  {%- do settings.append('warehouse = ' ~ configuration_changes.warehouse) -%}
{%- endif -%}
{%- if configuration_changes.get('initialization_warehouse') -%}
  {%- do settings.append('initialization_warehouse = ' ~ configuration_changes.initialization_warehouse) -%}
{%- elif 'initialization_warehouse' in configuration_changes -%}
  {%- do statements.append('unset initialization_warehouse') -%}
{%- endif -%}
{%- if 'scheduler' in configuration_changes -%}
  {%- do settings.append("scheduler = '" ~ configuration_changes.scheduler ~ "'") -%}
{%- endif -%}
{%- if settings -%}
  {%- do statements.insert(0, 'set ' ~ settings | join(' ')) -%}
{%- endif -%}
{%- if configuration_changes.get('immutable_where') -%}
  {%- do statements.append('set immutable where (' ~ configuration_changes.immutable_where ~ ')') -%}
{%- elif 'immutable_where' in configuration_changes -%}
  {%- do statements.append('unset immutable where') -%}
{%- endif -%}
{%- if configuration_changes.get('cluster_by') -%}
  {%- do statements.append('cluster by (' ~ configuration_changes.cluster_by ~ ')') -%}
{%- elif 'cluster_by' in configuration_changes -%}
  {%- do statements.append('drop clustering key') -%}
{%- endif -%}
{%- for statement in statements -%}
alter dynamic table {{ existing_relation }} {{ statement }}
{%- if not loop.last %};
{% endif -%}
{%- endfor -%}
{%- endmacro %}


{#
  What of the configuration, or the query, differs from what is there; none where nothing does. Texts
  are compared by what they mean, since the database writes them in its own way.
#}
{% macro snowflake__get_dynamic_table_configuration_changes(existing_relation, new_config) -%}
  {%- set wanted = snowflake__dynamic_table_config(new_config) -%}
  {%- set there = snowflake__dynamic_table_row(existing_relation) -%}
  {%- set changes = {} -%}
  {%- if wanted.target_lag and snowflake__seconds_of(wanted.target_lag) != snowflake__seconds_of(there.get('target_lag')) -%}
    {%- do changes.update({'target_lag': wanted.target_lag}) -%}
  {%- endif -%}
  {%- for key in ['warehouse', 'initialization_warehouse'] -%}
    {%- if key in there.keys() and snowflake__stored_name(wanted[key]) != snowflake__shown(there[key]) -%}
      {%- do changes.update({key: wanted[key]}) -%}
    {%- endif -%}
  {%- endfor -%}
  {%- if there.get('scheduler') and there.get('scheduler') | upper != wanted.scheduler -%}
    {%- do changes.update({'scheduler': wanted.scheduler}) -%}
  {%- endif -%}
  {%- set immutable = snowflake__shown(there.get('immutable_where')) -%}
  {%- if snowflake__plain(wanted.immutable_where) != snowflake__plain(snowflake__inside(immutable, 'immutable where')) -%}
    {%- do changes.update({'immutable_where': wanted.immutable_where}) -%}
  {%- endif -%}
  {%- set keys = snowflake__shown(there.get('cluster_by')) -%}
  {%- if snowflake__plain(wanted.cluster_by) != snowflake__plain(snowflake__inside(keys, 'linear')) -%}
    {%- do changes.update({'cluster_by': wanted.cluster_by}) -%}
  {%- endif -%}
  {%- set is_other_mode = wanted.refresh_mode not in ['AUTO', there.get('refresh_mode') | upper] -%}
  {#- The text is that of the statement that made it: `create .. as ( query )`. -#}
  {%- set text = (there.get('text') or '').rstrip(' \t\r\n;)') -%}
  {%- set query = compiled_code.strip().rstrip(' \t\r\n;)') -%}
  {%- set is_same_query = text.endswith(query) and text[:(text | length) - (query | length)].rstrip().endswith('(') -%}
  {%- set transient = new_config.get('transient') -%}
  {%- set was_transient = 'transient' in text.lower().split(' dynamic table ')[0] -%}
  {%- set requires_full_refresh = is_other_mode or not is_same_query or (transient is not none and transient != was_transient) -%}
  {%- if not changes and not requires_full_refresh -%}
    {%- do return(none) -%}
  {%- endif -%}
  {%- do changes.update({'requires_full_refresh': requires_full_refresh}) -%}
  {%- do return(changes) -%}
{%- endmacro %}


{% macro snowflake__describe_dynamic_table(relation) -%}
  {%- set sql -%}
show dynamic tables like {{ dbt.string_literal(dbt.escape_single_quotes(relation.identifier)) }} in schema {{ relation.without_identifier() }}
  {%- endset -%}
  {%- do return({'dynamic_table': run_query(sql)}) -%}
{%- endmacro %}

{# `like` takes a pattern: what else it finds is passed over. #}
{% macro snowflake__dynamic_table_row(relation) -%}
  {%- set found = namespace(row=none) -%}
  {%- for row in snowflake__describe_dynamic_table(relation).dynamic_table.rows -%}
    {%- if row['name'] == relation.identifier or (found.row is none and row['name'] | upper == relation.identifier | upper) -%}
      {%- set found.row = row -%}
    {%- endif -%}
  {%- endfor -%}
  {%- if found.row is none -%}
    {%- do exceptions.raise_compiler_error('`show dynamic tables` does not list `' ~ relation.render() ~ '`') -%}
  {%- endif -%}
  {%- do return(found.row) -%}
{%- endmacro %}


{# A lag as seconds, however it is written; `downstream` and what is not understood as it is. #}
{% macro snowflake__seconds_of(lag) -%}
  {%- set words = (lag or '') | lower -%}
  {%- set parts = words.split() -%}
  {%- set units = {'second': 1, 'minute': 60, 'hour': 3600, 'day': 86400} -%}
  {%- if parts | length == 2 and parts[0].isdigit() and parts[1].rstrip('s') in units -%}
    {%- do return(parts[0] | int * units[parts[1].rstrip('s')]) -%}
  {%- endif -%}
  {%- do return(words) -%}
{%- endmacro %}

{# A name as the database keeps it. #}
{% macro snowflake__stored_name(name) -%}
  {%- if name and name.startswith('"') -%}
    {%- do return(name[1:-1].replace('""', '"')) -%}
  {%- endif -%}
  {%- do return(name | upper if name else none) -%}
{%- endmacro %}

{# What the database shows of a setting; none for what it writes where there is none. #}
{% macro snowflake__shown(value) -%}
  {%- do return(none if value is none or value | upper in ['', 'NONE', 'NULL'] else value) -%}
{%- endmacro %}

{# What is in the parentheses after some words, where there are these words. #}
{% macro snowflake__inside(text, words) -%}
  {%- set is_inside = text is not none and text.lower().startswith(words) and text.endswith(')') -%}
  {%- do return(text[text.index('(') + 1:-1] if is_inside else text) -%}
{%- endmacro %}

{# A text without what makes no difference between expressions. #}
{% macro snowflake__plain(text) -%}
  {%- do return(''.join((text or '').split()).upper()) -%}
{%- endmacro %}
