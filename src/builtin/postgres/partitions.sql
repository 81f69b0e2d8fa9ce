{% macro postgres__create_partition_index(relation, field) -%}
create index on {{ relation }} ({{ field }})
{%- endmacro %}


{# A row's text quotes what is empty and leaves out what is null, so that no two rows look alike. #}
{% macro postgres__hash_of_rows(columns) -%}
cast(sum(cast(hashtextextended(cast(row({{ columns | join(', ') }}) as text), 0) as numeric)) as text)
{%- endmacro %}

{% macro postgres__hash_name() -%}
  {%- do return('postgres hashtextextended 1') -%}
{%- endmacro %}


{# Both change when a table is made anew or truncated. #}
{% macro postgres__relation_markers(relations) -%}
select named.name, c.oid || '/' || c.relfilenode as marker
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
inner join (
    {%- for relation in relations %}
    {% if not loop.first %}union all {% endif %}select {{ dbt.text_literal(relation | string) }} as name, {{ dbt.text_literal(relation.schema) }} as schema_name, {{ dbt.text_literal(relation.identifier) }} as identifier
    {%- endfor %}
) as named
    on named.schema_name = n.nspname
    and named.identifier = c.relname
{%- endmacro %}


{% macro postgres__swap_partitioned_table(target_relation, existing_relation, new_relation) -%}
  {%- do postgres__swap(target_relation, existing_relation, new_relation) -%}
{%- endmacro %}


{% macro postgres__lock_holders(relation) -%}
select distinct
    'process ' || a.pid || ' ('
    -- The server's own processes, such as autovacuum, have neither user nor state.
    || coalesce('user ' || a.usename, a.backend_type)
    || coalesce(', application ' || nullif(a.application_name, ''), '')
    || coalesce(
        ', ' || a.state || ' since '
        || to_char(a.state_change at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC',
        ''
    )
    || ')' as holder
from pg_catalog.pg_locks as l
inner join pg_catalog.pg_stat_activity as a on a.pid = l.pid
where l.granted
    and l.relation = to_regclass({{ dbt.text_literal(relation.include(database=false).render()) }})
    and a.pid <> pg_backend_pid()
order by holder
{%- endmacro %}
