{# Hooks: what runs before and after a node. A hook is a dict of `sql`, `transaction` and `index`. #}

{% macro run_hooks(hooks, inside_transaction=true) -%}
  {%- for hook in hooks | selectattr('transaction', 'equalto', inside_transaction) -%}
    {%- if not inside_transaction and loop.first -%}
      {#- What stands outside the transaction must not run in one that is still open. -#}
      {%- do adapter.commit() -%}
    {%- endif -%}
    {%- set rendered = render(hook.get('sql')) | trim -%}
    {%- if rendered -%}
      {%- call statement(auto_begin=inside_transaction) -%}
        {{- rendered -}}
      {%- endcall -%}
    {%- endif -%}
  {%- endfor -%}
{%- endmacro %}


{% macro make_hook_config(sql, inside_transaction) -%}
  {{- tojson({'sql': sql, 'transaction': inside_transaction}) -}}
{%- endmacro %}


{% macro before_begin(sql) -%}
  {{- make_hook_config(sql, inside_transaction=false) -}}
{%- endmacro %}


{% macro in_transaction(sql) -%}
  {{- make_hook_config(sql, inside_transaction=true) -}}
{%- endmacro %}


{% macro after_commit(sql) -%}
  {{- make_hook_config(sql, inside_transaction=false) -}}
{%- endmacro %}


{#
  What a model's config says of the session, such as where its statements run. What the first gives,
  the second gets, after the model, also where it failed.
#}
{% macro begin_model_session() -%}
  {%- do return(adapter.dispatch('begin_model_session', 'dbt')()) -%}
{%- endmacro %}

{% macro default__begin_model_session() -%}
  {%- do return(none) -%}
{%- endmacro %}

{% macro end_model_session(before) -%}
  {%- do return(adapter.dispatch('end_model_session', 'dbt')(before)) -%}
{%- endmacro %}

{% macro default__end_model_session(before) -%}
{%- endmacro %}
