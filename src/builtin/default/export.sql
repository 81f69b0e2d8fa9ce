{# What a connection hands to another one. Where a dialect has no macro of its own, `export` is refused. #}

{% macro export_rows(relation, columns, predicate, order_by) -%}
{{ adapter.dispatch('export_rows', 'dbt')(relation, columns, predicate, order_by) }}
{%- endmacro %}

{% macro export_snapshot(ledger_table) -%}
{{ adapter.dispatch('export_snapshot', 'dbt')(ledger_table) }}
{%- endmacro %}
