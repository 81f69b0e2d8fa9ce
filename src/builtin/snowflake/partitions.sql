{# Partitions as Snowflake writes them and looks at them. #}

{% macro snowflake__create_partitioned_table(relation, sql) -%}
create {% if config.get('transient', default=true) %}transient {% endif %}table {{ relation }} as
select *
from (
{{ sql }}
) as built
where 1 = 0
{%- endmacro %}


{# A hash of rows in any order, duplicates and nulls included. #}
{% macro snowflake__hash_of_rows(columns) -%}
cast(hash_agg({{ columns | join(', ') }}) as varchar)
{%- endmacro %}

{% macro snowflake__hash_name() -%}
  {%- do return('snowflake hash_agg 1') -%}
{%- endmacro %}


{# Readers never miss the table: a clone copies no rows, and replaces in one statement. #}
{% macro snowflake__swap_partitioned_table(target_relation, existing_relation, new_relation) -%}
  {%- if not existing_relation.is_table -%}
    {%- do adapter.drop_relation(existing_relation) -%}
  {%- endif -%}
  {%- do run_query(
    'create or replace ' ~ ('transient ' if config.get('transient', default=true) else '') ~ 'table '
    ~ target_relation ~ ' clone ' ~ new_relation
  ) -%}
  {%- do adapter.drop_relation(new_relation) -%}
{%- endmacro %}
