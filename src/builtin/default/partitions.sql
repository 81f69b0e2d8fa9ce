{#
  Partitions: the statements that write them and look at them.

  The order of the steps, the transaction and the ledger are the engine's matter; here is only text.
  Each macro gives one statement.
#}

{# An empty table with the columns of a query. #}
{% macro create_partitioned_table(relation, sql) -%}
  {{- adapter.dispatch('create_partitioned_table', 'dbt')(relation, sql) -}}
{%- endmacro %}

{% macro default__create_partitioned_table(relation, sql) -%}
create table {{ relation }} as
select *
from (
{{ sql }}
) as built
where 1 = 0
{%- endmacro %}


{# What finds a partition quickly, on databases that need help; nothing elsewhere. #}
{% macro create_partition_index(relation, field) -%}
  {{- adapter.dispatch('create_partition_index', 'dbt')(relation, field) -}}
{%- endmacro %}

{% macro default__create_partition_index(relation, field) -%}
{%- endmacro %}


{# A query without rows that has another's columns. #}
{% macro describe_query(sql) -%}
select *
from (
{{ sql }}
) as built
where 1 = 0
{%- endmacro %}


{% macro delete_partitions(relation, predicate) -%}
  {{- adapter.dispatch('delete_partitions', 'dbt')(relation, predicate) -}}
{%- endmacro %}

{% macro default__delete_partitions(relation, predicate) -%}
delete from {{ relation }}
where {{ predicate }}
{%- endmacro %}


{# `order_by` are expressions; they order the rows that are inserted, not those that are read. #}
{% macro insert_partitions(relation, columns, sql, order_by) -%}
  {{- adapter.dispatch('insert_partitions', 'dbt')(relation, columns, sql, order_by) -}}
{%- endmacro %}

{% macro default__insert_partitions(relation, columns, sql, order_by) -%}
insert into {{ relation }} ({{ columns | join(', ') }})
select {{ columns | join(', ') }}
from (
{{ sql }}
) as built
order by {{ order_by | join(', ') }}
{%- endmacro %}


{#
  By partition: how many rows there are, and the sum of their hashes.

  A partition is told by `bucket`, an expression that gives its first moment, or where there is none by
  `bounds`: pairs of literals, the first of a partition and of the next, with the partition's number.
  Without columns nothing is hashed.
#}
{% macro partition_content(relation, columns, bucket, bounds, field, predicate) -%}
  {{- adapter.dispatch('partition_content', 'dbt')(relation, columns, bucket, bounds, field, predicate) -}}
{%- endmacro %}

{% macro default__partition_content(relation, columns, bucket, bounds, field, predicate) -%}
{%- set hashed = hash_of_rows(columns) if columns else 'null' -%}
{%- if bucket -%}
select {{ bucket }} as part, count(*) as row_count, {{ hashed }} as content
from {{ relation }} as stored
{%- if predicate %}
where {{ predicate }}
{%- endif %}
group by {{ bucket }}
{%- else -%}
select bounds.part, count(*) as row_count, {{ hashed }} as content
from {{ relation }} as stored
inner join (
    {%- for part, first, next in bounds %}
    {% if not loop.first %}union all {% endif %}select {{ part }} as part, {{ first }} as first_moment, {{ next }} as next_moment
    {%- endfor %}
) as bounds
    on stored.{{ field }} >= bounds.first_moment
    and stored.{{ field }} < bounds.next_moment
group by bounds.part
{%- endif -%}
{%- endmacro %}


{# The sum of the hashes of rows, as text. Its name belongs to it: another hash tells nothing about this one. #}
{% macro hash_of_rows(columns) -%}
  {{- adapter.dispatch('hash_of_rows', 'dbt')(columns) -}}
{%- endmacro %}

{% macro hash_name() -%}
  {{- return(adapter.dispatch('hash_name', 'dbt')()) -}}
{%- endmacro %}

{% macro default__hash_of_rows(columns) -%}
cast(sum(hash({{ columns | join(', ') }})) as varchar)
{%- endmacro %}

{% macro default__hash_name() -%}
  {%- do return('hash-1') -%}
{%- endmacro %}


{# A whole table's rows and their hashes. #}
{% macro relation_content(relation, columns) -%}
select count(*) as row_count, {{ hash_of_rows(columns) if columns else 'null' }} as content
from {{ relation }} as stored
{%- endmacro %}


{#
  What the catalogue shows of relations that exist, to notice that somebody else has changed them: rows
  of a name as `relation` writes it, and a text.
#}
{% macro relation_markers(relations) -%}
  {{- adapter.dispatch('relation_markers', 'dbt')(relations) -}}
{%- endmacro %}

{% macro default__relation_markers(relations) -%}
{%- for relation in relations -%}
{%- if not loop.first %}
union all
{% endif -%}
select {{ dbt.text_literal(relation | string) }} as name, cast(count(*) as varchar) as marker from {{ relation }}
{%- endfor -%}
{%- endmacro %}


{# Puts a new table in the place of one whose columns are not today's. #}
{% macro swap_partitioned_table(target_relation, existing_relation, new_relation) -%}
  {{- adapter.dispatch('swap_partitioned_table', 'dbt')(target_relation, existing_relation, new_relation) -}}
{%- endmacro %}

{% macro default__swap_partitioned_table(target_relation, existing_relation, new_relation) -%}
  {%- do adapter.drop_relation(existing_relation) -%}
  {%- do adapter.rename_relation(new_relation, target_relation) -%}
{%- endmacro %}


{# How many rows a source has by partition, and when the newest came. #}
{% macro probe_partitions(relation, bucket, loaded_at_field, predicate) -%}
select {{ bucket }} as part, count(*) as row_count, cast(max({{ loaded_at_field }}) as varchar) as newest
from {{ relation }} as stored
where {{ predicate }}
group by {{ bucket }}
{%- endmacro %}


{# Who holds locks on a relation, in one column of words; nothing on databases that do not tell. #}
{% macro lock_holders(relation) -%}
  {{- adapter.dispatch('lock_holders', 'dbt')(relation) -}}
{%- endmacro %}

{% macro default__lock_holders(relation) -%}
{%- endmacro %}
