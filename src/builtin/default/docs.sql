{# `persist_docs`: descriptions as comments in the database. #}

{% macro alter_relation_comment(relation, relation_comment) -%}
  {{- return(adapter.dispatch('alter_relation_comment', 'dbt')(relation, relation_comment)) -}}
{%- endmacro %}

{% macro default__alter_relation_comment(relation, relation_comment) -%}
comment on {{ (relation.type or 'table') | replace('_', ' ') }} {{ relation }} is {{ dbt.string_literal(dbt.escape_single_quotes(relation_comment)) }}
{%- endmacro %}


{% macro alter_column_comment(relation, column_dict) -%}
  {{- return(adapter.dispatch('alter_column_comment', 'dbt')(relation, column_dict)) -}}
{%- endmacro %}

{# One statement a column; the caller has left out those that the database does not know. #}
{% macro default__alter_column_comment(relation, column_dict) -%}
  {%- for name, column in column_dict.items() -%}
comment on column {{ relation }}.{{ adapter.quote(name) if column.quote else name }} is {{ dbt.string_literal(dbt.escape_single_quotes(column.description)) }}
    {%- if not loop.last %};
{% endif -%}
  {%- endfor -%}
{%- endmacro %}


{# Documented columns that are really there; a warning names the others, whose comments have no place. #}
{% macro validate_doc_columns(relation, column_dict, existing_column_names) -%}
  {%- set folded = existing_column_names | map('lower') | list -%}
  {%- set found = {} -%}
  {%- for name in column_dict -%}
    {%- set is_there = name in existing_column_names if column_dict[name].quote else name | lower in folded -%}
    {%- if is_there -%}
      {%- do found.update({name: column_dict[name]}) -%}
    {%- endif -%}
  {%- endfor -%}
  {%- set absent = column_dict | reject('in', found) | join(', ') -%}
  {%- if absent -%}
    {%- do exceptions.warn('In relation ' ~ relation.render() ~ ': The following columns are specified in the schema but are not present in the database: ' ~ absent) -%}
  {%- endif -%}
  {%- do return(found) -%}
{%- endmacro %}


{% macro persist_docs(relation, model, for_relation=true, for_columns=true) -%}
  {{- return(adapter.dispatch('persist_docs', 'dbt')(relation, model, for_relation, for_columns)) -}}
{%- endmacro %}

{% macro default__persist_docs(relation, model, for_relation, for_columns) -%}
  {%- if for_relation and config.persist_relation_docs() and model.description -%}
    {%- do run_query(alter_relation_comment(relation, model.description)) -%}
  {%- endif -%}
  {%- if for_columns and config.persist_column_docs() and model.columns -%}
    {%- set existing = adapter.get_columns_in_relation(relation) | map(attribute='name') | list -%}
    {%- set columns = validate_doc_columns(relation, model.columns, existing) -%}
    {%- set comments = alter_column_comment(relation, columns) | trim -%}
    {%- if comments -%}
      {%- do run_query(comments) -%}
    {%- endif -%}
  {%- endif -%}
{%- endmacro %}
