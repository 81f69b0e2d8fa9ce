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
  {%- set wrong = [] -%}
  {%- for name in ['merge_update_condition', 'merge_insert_condition'] if config.get(name) is not none and config.get(name) is not string -%}
    {%- do wrong.append(name ~ ' must be a string, found: ' ~ config.get(name)) -%}
  {%- endfor -%}
  {%- for name in ['merge_on_using_columns', 'merge_update_columns', 'merge_exclude_columns', 'merge_returning_columns'] if config.get(name) is not none -%}
    {%- if config.get(name) is string or config.get(name) is mapping or config.get(name) is not sequence -%}
      {%- do wrong.append(name ~ ' must be a list, found: ' ~ config.get(name)) -%}
    {%- endif -%}
  {%- endfor -%}
  {%- set expressions = config.get('merge_update_set_expressions') -%}
  {%- if expressions is not none and expressions is not mapping -%}
    {%- do wrong.append('merge_update_set_expressions must be a dictionary, found: ' ~ expressions) -%}
  {%- endif -%}
  {%- set clauses = config.get('merge_clauses') -%}
  {%- if clauses is not none and clauses is not mapping -%}
    {%- do wrong.append('merge_clauses must be a dictionary, found: ' ~ clauses) -%}
  {%- elif clauses is not none -%}
    {%- do refuse_wrong_merge_clauses(clauses, wrong) -%}
  {%- endif -%}
  {%- if wrong -%}
    {%- do exceptions.raise_compiler_error(wrong | join('\n')) -%}
  {%- endif -%}
{%- endmacro %}

{% macro refuse_wrong_merge_clauses(clauses, wrong) -%}
  {%- if 'when_matched' not in clauses and 'when_not_matched' not in clauses -%}
    {%- do wrong.append("merge_clauses must contain at least one of 'when_matched' or 'when_not_matched'") -%}
  {%- endif -%}
  {%- for name in ['when_matched', 'when_not_matched'] if name in clauses -%}
    {%- set list = clauses[name] -%}
    {%- if list is string or list is mapping or list is not sequence -%}
      {%- do wrong.append('merge_clauses.' ~ name ~ ' must be a list') -%}
    {%- else -%}
      {%- for clause in list if clause is not mapping -%}
        {%- do wrong.append('merge_clauses.' ~ name ~ ' elements must be dictionaries, found: ' ~ clause) -%}
      {%- endfor -%}
    {%- endif -%}
  {%- endfor -%}
  {%- set beside = [] -%}
  {%- for name in ['merge_update_condition', 'merge_insert_condition', 'merge_update_columns', 'merge_exclude_columns', 'merge_update_set_expressions'] if config.get(name) -%}
    {%- do beside.append(name) -%}
  {%- endfor -%}
  {%- if beside -%}
    {%- do wrong.append('beside merge_clauses the basic merge configurations will be ignored; remove ' ~ beside | join(', ')) -%}
  {%- endif -%}
{%- endmacro %}
