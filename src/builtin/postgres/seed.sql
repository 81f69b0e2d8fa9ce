{# Seeds on Postgres: readers see the old rows until the new ones are there, and views survive. #}

{% macro postgres__reset_csv_table(model, full_refresh, old_relation, agate_table) -%}
  {%- if full_refresh -%}
    {%- set target_relation = this.incorporate(type='table') -%}
    {%- set intermediate_relation = make_intermediate_relation(target_relation) -%}
    {%- do postgres__clear_leftover(intermediate_relation) -%}
    {%- set sql = get_create_csv_table_sql(intermediate_relation, agate_table) -%}
    {%- call statement('_') -%}
      {{- sql -}}
    {%- endcall -%}
    {%- do postgres__swap(target_relation, old_relation, intermediate_relation) -%}
    {%- do return(sql) -%}
  {%- endif -%}
  {%- set sql = 'delete from ' ~ old_relation.render() -%}
  {%- call statement('delete_rows') -%}
    {{- sql -}}
  {%- endcall -%}
  {%- do return(sql) -%}
{%- endmacro %}
