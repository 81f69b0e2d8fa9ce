{# The sum of many 64-bit hashes does not fit into 64 bits; the function may change with the release. #}
{% macro duckdb__hash_of_rows(columns) -%}
cast(sum(cast(hash({{ columns | join(', ') }}) as hugeint)) as varchar)
{%- endmacro %}

{% macro duckdb__hash_name() -%}
  {%- do return('duckdb hash ' ~ run_query('select version() as version').rows[0][0]) -%}
{%- endmacro %}
