{# Files as sources: the table that their rows are loaded into. Columns come with their names quoted. #}

{% macro landing_create_staging(relation, columns) -%}
drop table if exists {{ relation }};
create temporary table {{ relation }} (
    {%- for column in columns %}
    {{ column.quoted }} {{ column.data_type }}{{ ',' if not loop.last }}
    {%- endfor %}
)
{%- endmacro %}
