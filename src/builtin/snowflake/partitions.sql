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


{% macro snowflake__swap_partitioned_table(target_relation, existing_relation, new_relation) -%}
  {%- do snowflake__put_in_place(target_relation, existing_relation, new_relation) -%}
  {%- do adapter.drop_relation(new_relation) -%}
{%- endmacro %}
