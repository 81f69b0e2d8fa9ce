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


{# The columns that the database has; of the others a warning is said. #}
{% macro validate_doc_columns(relation, column_dict, existing_column_names) -%}
  {%- set existing_lower = existing_column_names | map('lower') | list -%}
  {%- set present = {} -%}
  {%- set missing = [] -%}
  {%- for name, column in column_dict.items() -%}
    {%- if name in existing_column_names or (not column.quote and name | lower in existing_lower) -%}
      {%- do present.update({name: column}) -%}
    {%- else -%}
      {%- do missing.append(name) -%}
    {%- endif -%}
  {%- endfor -%}
  {%- if missing -%}
    {%- do exceptions.warn(
      'In relation ' ~ relation ~ ': The following columns are specified in the schema but are not present in the database: '
      ~ missing | join(', ')
    ) -%}
  {%- endif -%}
  {%- do return(present) -%}
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
