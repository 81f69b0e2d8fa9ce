{# Grants to roles, one statement each. #}

{% macro snowflake__copy_grants() -%}
  {%- do return(config.get('copy_grants', false)) -%}
{%- endmacro %}

{% macro snowflake__support_multiple_grantees_per_dcl_statement() -%}
  {%- do return(false) -%}
{%- endmacro %}


{% macro snowflake__grantable(relation) -%}
{{ (relation.type or 'table') | replace('_', ' ') }} {{ relation.render() }}
{%- endmacro %}

{% macro snowflake__get_show_grant_sql(relation) -%}
show grants on {{ snowflake__grantable(relation) }}
{%- endmacro %}

{% macro snowflake__get_grant_sql(relation, privilege, grantees) -%}
grant {{ privilege }} on {{ snowflake__grantable(relation) }} to role {{ grantees | join(', ') }}
{%- endmacro %}

{% macro snowflake__get_revoke_sql(relation, privilege, grantees) -%}
revoke {{ privilege }} on {{ snowflake__grantable(relation) }} from role {{ grantees | join(', ') }}
{%- endmacro %}
