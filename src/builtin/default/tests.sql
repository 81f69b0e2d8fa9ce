{# Data tests: the materialization, and the four generic tests. A test's query gives the rows that are wrong. #}

{% materialization test, default -%}
  {%- set relations = [] -%}
  {#- The limit bounds what is stored as well. -#}
  {%- set limited_sql = get_limit_subquery_sql(sql, config.get('limit')) -%}

  {%- if should_store_failures() -%}
    {%- set strategy = (config.get('store_failures_as') or 'table') | lower -%}
    {%- if strategy not in ['table', 'view'] -%}
      {%- do exceptions.raise_compiler_error('`store_failures_as` is `' ~ strategy ~ '`, which is none of `ephemeral`, `table`, `view`') -%}
    {%- endif -%}
    {%- set target_relation = this.incorporate(type=strategy) -%}
    {%- set existing_relation = load_cached_relation(this) -%}
    {%- if strategy == 'view' -%}
      {%- do publish_view(target_relation, existing_relation, limited_sql) -%}
    {%- else -%}
      {%- do publish_table(target_relation, existing_relation, limited_sql) -%}
    {%- endif -%}
    {%- do adapter.commit() -%}
    {%- do relations.append(target_relation) -%}
    {%- set main_sql -%}
select *
from {{ target_relation }}
    {%- endset -%}
  {%- else -%}
    {%- set main_sql = limited_sql -%}
  {%- endif -%}

  {%- call statement('main', fetch_result=true, auto_begin=false) -%}
    {{- get_test_sql(main_sql, config.get('fail_calc'), config.get('warn_if'), config.get('error_if'), none) -}}
  {%- endcall -%}

  {{- return({'relations': relations}) -}}
{%- endmaterialization %}


{% macro get_test_sql(main_sql, fail_calc, warn_if, error_if, limit) -%}
  {{- adapter.dispatch('get_test_sql', 'dbt')(main_sql, fail_calc, warn_if, error_if, limit) -}}
{%- endmacro %}

{% macro default__get_test_sql(main_sql, fail_calc, warn_if, error_if, limit) -%}
select
    {{ fail_calc }} as failures,
    {{ fail_calc }} {{ warn_if }} as should_warn,
    {{ fail_calc }} {{ error_if }} as should_error
from (
{{ main_sql }}
{%- if limit is not none %}
limit {{ limit }}
{%- endif %}
) as dbt_internal_test
{%- endmacro %}


{% macro should_store_failures() -%}
  {%- set as_what = config.get('store_failures_as') -%}
  {%- if as_what is not none and (as_what | lower) == 'ephemeral' -%}
    {%- do return(false) -%}
  {%- endif -%}
  {%- set wanted = config.get('store_failures') -%}
  {%- if wanted is none and as_what is not none -%}
    {%- do return(true) -%}
  {%- endif -%}
  {%- do return(flags.STORE_FAILURES if wanted is none else wanted) -%}
{%- endmacro %}


{# What a generic test's `model` is: the relation, narrowed where `where` says so. #}
{% macro get_where_subquery(relation) -%}
  {%- do return(adapter.dispatch('get_where_subquery', 'dbt')(relation)) -%}
{%- endmacro %}

{% macro default__get_where_subquery(relation) -%}
  {%- set where = config.get('where', '') -%}
  {%- if where -%}
    {%- do return('(select * from ' ~ relation ~ ' where ' ~ where ~ ') dbt_subquery') -%}
  {%- endif -%}
  {%- do return(relation) -%}
{%- endmacro %}


{% test unique(model, column_name) -%}
  {{- return(adapter.dispatch('test_unique', 'dbt')(model, column_name)) -}}
{%- endtest %}

{% macro default__test_unique(model, column_name) -%}
select
    {{ column_name }} as unique_field,
    count(*) as n_records
from {{ model }}
where {{ column_name }} is not null
group by {{ column_name }}
having count(*) > 1
{%- endmacro %}


{% test not_null(model, column_name) -%}
  {{- return(adapter.dispatch('test_not_null', 'dbt')(model, column_name)) -}}
{%- endtest %}

{% macro default__test_not_null(model, column_name) -%}
select {{ '*' if should_store_failures() else column_name }}
from {{ model }}
where {{ column_name }} is null
{%- endmacro %}


{% test accepted_values(model, column_name, values, quote=true) -%}
  {{- return(adapter.dispatch('test_accepted_values', 'dbt')(model, column_name, values, quote)) -}}
{%- endtest %}

{% macro default__test_accepted_values(model, column_name, values, quote=true) -%}
with all_values as (
    select
        {{ column_name }} as value_field,
        count(*) as n_records
    from {{ model }}
    group by {{ column_name }}
)

select *
from all_values
where value_field not in (
    {%- for value in values %}
    {{ dbt.string_literal(dbt.escape_single_quotes(value)) if quote else value }}
    {%- if not loop.last %},{% endif -%}
    {%- endfor %}
)
{%- endmacro %}


{% test relationships(model, column_name, to, field) -%}
  {{- return(adapter.dispatch('test_relationships', 'dbt')(model, column_name, to, field)) -}}
{%- endtest %}

{% macro default__test_relationships(model, column_name, to, field) -%}
with child as (
    select {{ column_name }} as from_field
    from {{ model }}
    where {{ column_name }} is not null
),

parent as (
    select {{ field }} as to_field
    from {{ to }}
)

select from_field
from child
left join parent on child.from_field = parent.to_field
where parent.to_field is null
{%- endmacro %}
