{# Rows on their way to another connection: CSV, as the files of a source hold it. #}

{% macro postgres__export_rows(relation, columns, predicate, order_by) -%}
copy (
    select
    {%- for column in columns %}
        {{ column }}{{ ',' if not loop.last }}
    {%- endfor %}
    from {{ relation }}
    {%- if predicate %}
    where {{ predicate }}
    {%- endif %}
    {%- if order_by %}
    order by {{ order_by | join(', ') }}
    {%- endif %}
) to stdout with (format csv, header)
{%- endmacro %}

{# One run exports at a time, and all that it exports is as it was at one moment: the lock comes first. #}
{% macro postgres__export_snapshot(ledger_table) -%}
set transaction isolation level repeatable read;
lock table {{ ledger_table }} in share row exclusive mode
{%- endmacro %}
