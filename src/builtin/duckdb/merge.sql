{# MERGE with what DuckDB adds to it: conditions, expressions, and clauses of one's own. #}

{% macro duckdb__get_merge_sql(target, source, unique_key, dest_columns, incremental_predicates=none) -%}
  {%- do refuse_wrong_merge_configs() -%}
  {%- set using = config.get('merge_on_using_columns') -%}
  {%- set returning = config.get('merge_returning_columns') -%}
  {%- set clauses = merge_clauses_of(dest_columns) -%}
  {%- if not (using or returning or clauses) -%}
    {{- default__get_merge_sql(target, source, unique_key, dest_columns, incremental_predicates) -}}
  {%- else -%}
{{ sql_header_text() -}}
merge into {{ target }} as DBT_INTERNAL_DEST
using {{ source }} as DBT_INTERNAL_SOURCE
{% if using %}using ({{ using | join(', ') }}){% else %}on ({{ merge_condition(unique_key, incremental_predicates) }}){% endif %}
{{ (clauses or basic_merge_clauses(dest_columns)) | join('\n') }}
    {%- if returning %}
returning {{ returning | join(', ') }}
    {%- endif -%}
  {%- endif -%}
{%- endmacro %}


{# The clauses that the config asks for; none where it asks for nothing beyond what every database has. #}
{% macro merge_clauses_of(dest_columns) -%}
  {%- set own = config.get('merge_clauses') -%}
  {%- if own is not none -%}
    {%- set clauses = [] -%}
    {%- for clause in own.get('when_matched', []) -%}
      {%- do clauses.append('when matched' ~ merge_clause(clause, 'update', dest_columns)) -%}
    {%- endfor -%}
    {%- for clause in own.get('when_not_matched', []) -%}
      {%- set by = ' by ' ~ clause.by if clause.by else '' -%}
      {%- do clauses.append('when not matched' ~ by ~ merge_clause(clause, 'insert', dest_columns)) -%}
    {%- endfor -%}
    {%- do return(clauses) -%}
  {%- endif -%}
  {%- set basic = ['merge_update_condition', 'merge_insert_condition', 'merge_update_set_expressions'] -%}
  {%- for name in basic if config.get(name) -%}
    {%- do return(basic_merge_clauses(dest_columns)) -%}
  {%- endfor -%}
  {%- do return(none) -%}
{%- endmacro %}

{% macro basic_merge_clauses(dest_columns) -%}
  {%- set columns = get_merge_update_columns(config.get('merge_update_columns'), config.get('merge_exclude_columns'), dest_columns) -%}
  {%- set matched = {'condition': config.get('merge_update_condition'), 'mode': 'explicit', 'update': {
    'include': columns, 'set_expressions': config.get('merge_update_set_expressions') or {}
  }} -%}
  {%- set names = [] -%}
  {%- set values = [] -%}
  {%- for column in dest_columns -%}
    {%- do names.append(column.quoted) -%}
    {%- do values.append('DBT_INTERNAL_SOURCE.' ~ column.quoted) -%}
  {%- endfor -%}
  {%- set unmatched = {'condition': config.get('merge_insert_condition'), 'mode': 'explicit', 'insert': {
    'columns': names, 'values': values
  }} -%}
  {%- do return([
    'when matched' ~ merge_clause(matched, 'update', dest_columns),
    'when not matched' ~ merge_clause(unmatched, 'insert', dest_columns),
  ]) -%}
{%- endmacro %}


{# What follows `when ..`: the condition and the action. #}
{% macro merge_clause(clause, default_action, dest_columns) -%}
  {%- set action = clause.action or default_action -%}
  {%- set condition = ' and (' ~ clause.condition ~ ')' if clause.condition else '' -%}
  {%- set modes = {'by_name': ' by name', 'by_position': ' by position'} -%}
  {%- set mode = clause.mode or 'by_name' -%}
  {%- if action == 'error' -%}
    {%- set what = 'error' ~ (' ' ~ dbt.string_literal(dbt.escape_single_quotes(clause.error_message)) if clause.error_message else '') -%}
  {%- elif action in ['delete', 'do_nothing'] -%}
    {%- set what = action | replace('_', ' ') -%}
  {%- elif action == 'update' and (mode == 'explicit' or clause.set_expressions) -%}
    {%- set what = 'update set\n    ' ~ merge_assignments(clause.update or clause, dest_columns) -%}
  {%- elif action == 'insert' and mode == 'explicit' -%}
    {%- set what = 'insert (' ~ clause.insert.columns | join(', ') ~ ')\nvalues (' ~ clause.insert['values'] | join(', ') ~ ')' -%}
  {%- elif action in ['update', 'insert'] and mode == 'star' -%}
    {%- set what = 'update set *' if action == 'update' else 'insert *' -%}
  {%- elif action in ['update', 'insert'] and mode in modes -%}
    {%- set what = action ~ modes[mode] -%}
  {%- else -%}
    {%- do exceptions.raise_compiler_error('`merge_clauses` has the action `' ~ action ~ '` in the mode `' ~ mode ~ '`, which DuckDB does not know') -%}
  {%- endif -%}
  {%- do return(condition ~ ' then ' ~ what) -%}
{%- endmacro %}

{# `include` or all columns but `exclude`, each from the new row; `set_expressions` have the last word. #}
{% macro merge_assignments(update, dest_columns) -%}
  {%- set expressions = update.set_expressions or {} -%}
  {%- set excluded = (update.exclude or []) | map('lower') | list -%}
  {%- set every = [] if expressions else dest_columns | map(attribute='quoted') | list -%}
  {%- set said = expressions.keys() | map('lower') | list -%}
  {%- set assignments = [] -%}
  {%- for column in update.include or every -%}
    {%- set plain = column | replace('"', '') | lower -%}
    {%- if plain not in excluded and plain not in said -%}
      {%- do assignments.append(column ~ ' = DBT_INTERNAL_SOURCE.' ~ column) -%}
    {%- endif -%}
  {%- endfor -%}
  {%- for column, expression in expressions.items() -%}
    {%- do assignments.append(column ~ ' = ' ~ expression) -%}
  {%- endfor -%}
  {%- do return(assignments | join(',\n    ')) -%}
{%- endmacro %}


{# What is misunderstood is refused, for it would be ignored without a word. #}
{% macro refuse_wrong_merge_configs() -%}
  {%- set shapes = {
    'merge_update_condition': 'text', 'merge_insert_condition': 'text',
    'merge_on_using_columns': 'a list', 'merge_update_columns': 'a list',
    'merge_exclude_columns': 'a list', 'merge_returning_columns': 'a list',
    'merge_update_set_expressions': 'a mapping', 'merge_clauses': 'a mapping',
  } -%}
  {%- set faults = [] -%}
  {%- for name, shape in shapes.items() if config.get(name) is not none -%}
    {%- do faults.extend(merge_shape_faults('`' ~ name ~ '`', config.get(name), shape)) -%}
  {%- endfor -%}
  {%- set clauses = config.get('merge_clauses') -%}
  {%- if clauses is mapping -%}
    {%- set written = [] -%}
    {%- for when, actions in clauses.items() -%}
      {%- if when not in ['when_matched', 'when_not_matched'] -%}
        {%- do faults.append('`merge_clauses` knows `when_matched` and `when_not_matched`, found `' ~ when ~ '`') -%}
      {%- else -%}
        {%- do written.append(when) -%}
        {%- do faults.extend(merge_shape_faults('`' ~ when ~ '`', actions, 'a list')) -%}
        {%- for action in actions if actions is not string -%}
          {%- do faults.extend(merge_shape_faults('each item of `' ~ when ~ '`', action, 'a mapping')) -%}
        {%- endfor -%}
      {%- endif -%}
    {%- endfor -%}
    {%- if not written -%}
      {%- do faults.append('`merge_clauses` says neither what happens `when_matched` nor `when_not_matched`') -%}
    {%- endif -%}
    {%- for name in shapes if name.startswith('merge_update') or name in ['merge_insert_condition', 'merge_exclude_columns'] -%}
      {%- if config.get(name) -%}
        {%- do faults.append('`merge_clauses` says all, so `' ~ name ~ '` beside it would do nothing: remove one of them') -%}
      {%- endif -%}
    {%- endfor -%}
  {%- endif -%}
  {%- if faults -%}
    {%- do exceptions.raise_compiler_error(faults | join('\n')) -%}
  {%- endif -%}
{%- endmacro %}

{# A list with what is wrong, empty if the value has the shape. #}
{% macro merge_shape_faults(what, value, shape) -%}
  {%- if value is string -%}
    {%- set found = 'text' -%}
  {%- elif value is mapping -%}
    {%- set found = 'a mapping' -%}
  {%- elif value is number or value is boolean -%}
    {%- set found = '`' ~ value ~ '`' -%}
  {%- else -%}
    {%- set found = 'a list' -%}
  {%- endif -%}
  {%- do return([] if found == shape else [what ~ ' must be ' ~ shape ~ ', found ' ~ found]) -%}
{%- endmacro %}
