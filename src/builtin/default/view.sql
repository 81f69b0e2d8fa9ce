{# The materialization `view`. #}

{% materialization view, default -%}
  {%- set target_relation = this.incorporate(type='view') -%}
  {%- set existing_relation = load_cached_relation(this) -%}
  {%- set grant_config = config.get('grants') -%}

  {{- run_hooks(pre_hooks, inside_transaction=false) -}}
  {{- run_hooks(pre_hooks, inside_transaction=true) -}}

  {%- do publish_view(target_relation, existing_relation, compiled_code) -%}

  {%- do apply_grants(target_relation, grant_config, should_revoke=should_revoke(existing_relation, full_refresh_mode=true)) -%}
  {%- do persist_docs(target_relation, model) -%}

  {{- run_hooks(post_hooks, inside_transaction=true) -}}
  {%- do adapter.commit() -%}
  {{- run_hooks(post_hooks, inside_transaction=false) -}}

  {{- return({'relations': [target_relation]}) -}}
{%- endmaterialization %}


{# Puts a view where there may be something already. The statement `main` is the view's own. #}
{% macro publish_view(target_relation, existing_relation, compiled_code) -%}
  {{- adapter.dispatch('publish_view', 'dbt')(target_relation, existing_relation, compiled_code) -}}
{%- endmacro %}

{# Inside one transaction: who reads meanwhile sees the old one or the new one. #}
{% macro default__publish_view(target_relation, existing_relation, compiled_code) -%}
  {%- if existing_relation is not none and not existing_relation.is_view -%}
    {%- do adapter.begin() -%}
    {%- do adapter.drop_relation(existing_relation) -%}
  {%- endif -%}
  {%- call statement('main') -%}
    {{- create_or_replace_view_as(target_relation, compiled_code) -}}
  {%- endcall -%}
{%- endmacro %}
