{#- How a table is built that the database itself can keep: as what it has for that. -#}
{% macro kept_by_the_database() -%}
    {%- do return({'postgres': 'materialized_view', 'snowflake': 'dynamic_table'}.get(target.type, 'table')) -%}
{%- endmacro %}
