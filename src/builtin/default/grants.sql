{# Grants: `grants: {select: [..]}` of the config against what the database says. #}

{% macro copy_grants() -%}
  {%- do return(adapter.dispatch('copy_grants', 'dbt')()) -%}
{%- endmacro %}

{# Whether a replaced relation keeps the grants of the one before. #}
{% macro default__copy_grants() -%}
  {%- do return(true) -%}
{%- endmacro %}


{% macro support_multiple_grantees_per_dcl_statement() -%}
  {%- do return(adapter.dispatch('support_multiple_grantees_per_dcl_statement', 'dbt')()) -%}
{%- endmacro %}

{% macro default__support_multiple_grantees_per_dcl_statement() -%}
  {%- do return(true) -%}
{%- endmacro %}


{% macro should_revoke(existing_relation, full_refresh_mode=true) -%}
  {%- if not existing_relation -%}
    {%- do return(false) -%}
  {%- elif full_refresh_mode -%}
    {%- do return(copy_grants()) -%}
  {%- endif -%}
  {%- do return(true) -%}
{%- endmacro %}


{% macro get_show_grant_sql(relation) -%}
  {{- return(adapter.dispatch('get_show_grant_sql', 'dbt')(relation)) -}}
{%- endmacro %}

{% macro default__get_show_grant_sql(relation) -%}
show grants on {{ relation.render() }}
{%- endmacro %}


{% macro get_grant_sql(relation, privilege, grantees) -%}
  {{- return(adapter.dispatch('get_grant_sql', 'dbt')(relation, privilege, grantees)) -}}
{%- endmacro %}

{% macro default__get_grant_sql(relation, privilege, grantees) -%}
grant {{ privilege }} on {{ relation.render() }} to {{ grantees | join(', ') }}
{%- endmacro %}


{% macro get_revoke_sql(relation, privilege, grantees) -%}
  {{- return(adapter.dispatch('get_revoke_sql', 'dbt')(relation, privilege, grantees)) -}}
{%- endmacro %}

{% macro default__get_revoke_sql(relation, privilege, grantees) -%}
revoke {{ privilege }} on {{ relation.render() }} from {{ grantees | join(', ') }}
{%- endmacro %}


{% macro get_dcl_statement_list(relation, grant_config, get_dcl_macro) -%}
  {%- do return(adapter.dispatch('get_dcl_statement_list', 'dbt')(relation, grant_config, get_dcl_macro)) -%}
{%- endmacro %}

{% macro default__get_dcl_statement_list(relation, grant_config, get_dcl_macro) -%}
  {%- set statements = [] -%}
  {%- for privilege, grantees in grant_config.items() -%}
    {%- if support_multiple_grantees_per_dcl_statement() -%}
      {%- if grantees -%}
        {%- do statements.append(get_dcl_macro(relation, privilege, grantees)) -%}
      {%- endif -%}
    {%- else -%}
      {%- for grantee in grantees -%}
        {%- do statements.append(get_dcl_macro(relation, privilege, [grantee])) -%}
      {%- endfor -%}
    {%- endif -%}
  {%- endfor -%}
  {%- do return(statements) -%}
{%- endmacro %}


{% macro call_dcl_statements(dcl_statement_list) -%}
  {{- adapter.dispatch('call_dcl_statements', 'dbt')(dcl_statement_list) -}}
{%- endmacro %}

{% macro default__call_dcl_statements(dcl_statement_list) -%}
  {%- for dcl_statement in dcl_statement_list -%}
    {%- call statement('grants') -%}
      {{- dcl_statement -}}
    {%- endcall -%}
  {%- endfor -%}
{%- endmacro %}


{% macro apply_grants(relation, grant_config, should_revoke=true) -%}
  {{- return(adapter.dispatch('apply_grants', 'dbt')(relation, grant_config, should_revoke)) -}}
{%- endmacro %}

{% macro default__apply_grants(relation, grant_config, should_revoke=true) -%}
  {%- if grant_config -%}
    {%- set missing = grant_config -%}
    {%- set unwanted = {} -%}
    {%- if should_revoke -%}
      {%- set current = adapter.standardize_grants_dict(run_query(get_show_grant_sql(relation))) -%}
      {%- set missing = diff_of_two_dicts(grant_config, current) -%}
      {%- set unwanted = diff_of_two_dicts(current, grant_config) -%}
    {%- endif -%}
    {%- do call_dcl_statements(
      get_dcl_statement_list(relation, unwanted, get_revoke_sql)
      + get_dcl_statement_list(relation, missing, get_grant_sql)
    ) -%}
  {%- endif -%}
{%- endmacro %}
