{# Tables and views. DDL commits by itself here, so each changes places in one statement. #}

{% macro snowflake__create_table_as(temporary, relation, sql) -%}
{{ sql_header_text() -}}
{{ snowflake__table_as('create', temporary, relation, sql) }}
{%- endmacro %}


{% macro snowflake__create_or_replace_table_as(relation, sql) -%}
{{ sql_header_text() -}}
{{ snowflake__table_as('create or replace', false, relation, sql) }}
{%- endmacro %}


{#
  The statement, and what has to follow it. Rows are stored in the order of the cluster key, so that
  the service that keeps them in it has nothing to do at first.
#}
{% macro snowflake__table_as(verb, temporary, relation, sql) -%}
{%- set transient = config.get('transient', default=true) -%}
{%- set cluster_by = config.get('cluster_by', default=none) if not temporary else none -%}
{%- set keys = cluster_by if cluster_by is string else (cluster_by or []) | join(', ') -%}
{{ verb }} {% if temporary %}temporary {% elif transient %}transient {% endif %}table {{ relation }}
{%- if config.get('copy_grants', default=false) and verb == 'create or replace' %} copy grants{% endif %} as (
{% if keys -%}
select *
from (
{{ sql }}
) as built
order by {{ keys }}
{%- else -%}
{{ sql }}
{%- endif %}
)
{%- if keys %};

alter table {{ relation }} cluster by ({{ keys }})
{%- if config.get('automatic_clustering', default=false) %};

alter table {{ relation }} resume recluster
{%- endif -%}
{%- endif -%}
{%- endmacro %}


{# Where the engine has built and judged the table under another name, that one takes its place. #}
{% macro snowflake__publish_table(target_relation, existing_relation, compiled_code) -%}
  {%- if staged_relation is defined and staged_relation -%}
    {%- do snowflake__put_in_place(target_relation, existing_relation, staged_relation) -%}
  {%- else -%}
    {%- do default__publish_table(target_relation, existing_relation, compiled_code) -%}
  {%- endif -%}
{%- endmacro %}

{# Readers never miss the table: a clone copies no rows, and replaces in one statement. It is not kept in the order of its key unless that is said again. #}
{% macro snowflake__put_in_place(target_relation, existing_relation, new_relation) -%}
  {%- if existing_relation is not none and not existing_relation.is_table -%}
    {%- do adapter.drop_relation(existing_relation) -%}
  {%- endif -%}
  {%- call statement('main') -%}
create or replace {% if config.get('transient', default=true) %}transient {% endif %}table {{ target_relation }} clone {{ new_relation }}
    {%- if config.get('copy_grants', default=false) %} copy grants{% endif %}
    {%- if config.get('cluster_by') and config.get('automatic_clustering', default=false) %};

alter table {{ target_relation }} resume recluster
    {%- endif -%}
  {%- endcall -%}
{%- endmacro %}


{% macro snowflake__create_view_as(relation, sql) -%}
{{ sql_header_text() -}}
{{ snowflake__view_as('create', relation, sql) }}
{%- endmacro %}

{% macro snowflake__create_or_replace_view_as(relation, sql) -%}
{{ sql_header_text() -}}
{{ snowflake__view_as('create or replace', relation, sql) }}
{%- endmacro %}

{% macro snowflake__view_as(verb, relation, sql) -%}
{{ verb }} {% if config.get('secure', default=false) %}secure {% endif %}view {{ relation }}
{%- if config.get('copy_grants', default=false) and verb == 'create or replace' %} copy grants{% endif %} as (
{{ sql }}
)
{%- endmacro %}


{# A seed that is loaded anew: its table is replaced in one statement, not dropped first. #}
{% macro snowflake__reset_csv_table(model, full_refresh, old_relation, agate_table) -%}
  {%- if full_refresh -%}
    {%- set sql = get_create_csv_table_sql(this, agate_table).replace('create table ', 'create or replace table ', 1) -%}
    {%- call statement('_') -%}
      {{- sql -}}
    {%- endcall -%}
    {%- do return(sql) -%}
  {%- endif -%}
  {%- do adapter.truncate_relation(old_relation) -%}
  {%- do return('delete from ' ~ old_relation.render()) -%}
{%- endmacro %}
