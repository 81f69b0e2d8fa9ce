{#- The days that a statement builds. All literals and arithmetic are on dates. -#}

{% macro add_days(date, days) -%}
    {{ return(adapter.dispatch('add_days')(date, days)) }}
{%- endmacro %}

{#- All our databases add a whole number of days to a date and keep it a date. -#}
{% macro default__add_days(date, days) -%}
    {%- if days < 0 -%} {{ date }} - {{ -days }}
    {%- elif days > 0 -%} {{ date }} + {{ days }}
    {%- else -%} {{ date }}
    {%- endif -%}
{%- endmacro %}

{#- The first day that this run builds: from `start_date`, else the days that late files can still
    have changed, else the very first. `margin` is how much further back they reach in this model. -#}
{% macro first_day_to_build(margin=0) -%}
    {%- set begin = "cast('" ~ var('begin') ~ "' as date)" -%}
    {%- if var('start_date') is not none -%}
        greatest(cast('{{ var("start_date") }}' as date), {{ begin }})
    {%- elif is_incremental() -%}
        (
            select greatest(coalesce({{ add_days('max(built.partition_date)', -(var('late_days') + margin)) }}, {{ begin }}), {{ begin }})
            from {{ this }} as built
        )
    {%- else -%}
        {{ begin }}
    {%- endif -%}
{%- endmacro %}

{#- The predicate that keeps the days of this run. -#}
{% macro days_to_build(column, margin=0) -%}
    {{ column }} >= {{ first_day_to_build(margin) }}
    {%- if var('end_date') is not none %}
    and {{ column }} <= cast('{{ var("end_date") }}' as date)
    {%- endif -%}
{%- endmacro %}
