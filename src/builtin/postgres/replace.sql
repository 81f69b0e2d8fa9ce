{#
  How a table or a view is replaced while others read it.

  dbt renames the new table into place and drops the old one with `cascade`; every view that read
  the old table goes with it. Here nothing cascades, and what a reader sees is the old rows or the
  new ones, never an error:

  1. The rows are built apart, in `<name>__dbt_tmp`.
  2. If the table that is there has the same columns and indexes, its rows are replaced inside one
     transaction, by `delete` and `insert`. The relation stays, and with it views, materialized
     views, grants, comments, foreign keys, indexes. `truncate` would lock readers out, and a
     reader whose snapshot is older would find the table empty; so would it after a rename.
  3. If they differ, the new table is renamed into place and what reads the old one is pointed at
     it, in the same transaction. Readers lock from the outermost view inwards, so the views are
     locked in that order first: two sessions never wait for each other. A view that reads only
     columns which are still as they were is replaced in place and keeps its grants. One that
     reads a column whose type has changed is made anew, with owner, grants and comment. One that
     reads a column which is gone cannot live: if it is a model of this project it is dropped, for
     the run is about to build it; if it is somebody else's, the build fails and says so.
#}

{% macro postgres__publish_table(target_relation, existing_relation, compiled_code) -%}
  {%- do postgres__clear_leftovers(target_relation) -%}
  {%- if existing_relation is none -%}
    {%- call statement('main') -%}
      {{- get_create_table_as_sql(false, target_relation, compiled_code) -}}
    {%- endcall -%}
    {%- do create_indexes(target_relation) -%}
  {%- else -%}
    {%- set intermediate_relation = make_intermediate_relation(target_relation) -%}
    {%- do adapter.begin() -%}
    {%- call statement('main') -%}
      {{- get_create_table_as_sql(false, intermediate_relation, compiled_code) -}}
    {%- endcall -%}
    {%- if existing_relation.is_table and postgres__same_shape(existing_relation, intermediate_relation) -%}
      {%- do postgres__replace_rows(existing_relation, intermediate_relation) -%}
    {%- else -%}
      {%- do postgres__swap(target_relation, existing_relation, intermediate_relation) -%}
      {%- do create_indexes(target_relation) -%}
    {%- endif -%}
  {%- endif -%}
{%- endmacro %}


{% macro postgres__publish_view(target_relation, existing_relation, compiled_code) -%}
  {%- do postgres__clear_leftovers(target_relation) -%}
  {%- if existing_relation is none -%}
    {%- call statement('main') -%}
      {{- get_create_view_as_sql(target_relation, compiled_code) -}}
    {%- endcall -%}
  {%- else -%}
    {%- set replaced = false -%}
    {%- if existing_relation.is_view -%}
      {#- It works unless columns are gone, moved or of another type. -#}
      {%- set sql = create_or_replace_view_as(target_relation, compiled_code) -%}
      {%- set response = adapter.attempt(sql) -%}
      {%- if response is not none -%}
        {%- set replaced = true -%}
        {%- do write(sql) -%}
        {%- do store_result('main', response=response) -%}
      {%- endif -%}
    {%- endif -%}
    {%- if not replaced -%}
      {%- set intermediate_relation = make_intermediate_relation(target_relation) -%}
      {%- do adapter.begin() -%}
      {%- call statement('main') -%}
        {{- get_create_view_as_sql(intermediate_relation, compiled_code) -}}
      {%- endcall -%}
      {%- do postgres__swap(target_relation, existing_relation, intermediate_relation) -%}
    {%- endif -%}
  {%- endif -%}
{%- endmacro %}


{# Of dbt, or of a run that was killed; our own commit or rollback leaves none. #}
{% macro postgres__clear_leftovers(target_relation) -%}
  {%- do postgres__clear_leftover(make_intermediate_relation(target_relation)) -%}
  {%- do postgres__clear_leftover(make_backup_relation(target_relation, target_relation.type)) -%}
{%- endmacro %}

{% macro postgres__clear_leftover(relation) -%}
  {%- set found = load_cached_relation(relation) -%}
  {%- if found is not none -%}
    {%- do adapter.drop_relation(found) -%}
  {%- endif -%}
{%- endmacro %}


{# Whether two tables have the same columns in the same order, and the first the indexes that are configured. #}
{% macro postgres__same_shape(existing_relation, new_relation) -%}
  {%- set sql -%}
select
  (
    select string_agg(
      quote_ident(attname) || ' ' || pg_catalog.format_type(atttypid, atttypmod), ', ' order by attnum
    )
    from pg_catalog.pg_attribute
    where attrelid = c.oid and attnum > 0 and not attisdropped
  ) as columns,
  c.relpersistence = 'u' as is_unlogged,
  (
    select string_agg(i.relname, ' ' order by i.relname)
    from pg_catalog.pg_index as x
    inner join pg_catalog.pg_class as i on i.oid = x.indexrelid
    where x.indrelid = c.oid and i.relname ~ '^[0-9a-f]{32}$'
  ) as indexes
from pg_catalog.pg_class as c
where c.oid in ({{ postgres__regclass(existing_relation) }}, {{ postgres__regclass(new_relation) }})
order by c.oid = {{ postgres__regclass(new_relation) }}
  {%- endset -%}
  {%- set rows = run_query(sql).rows -%}
  {%- if rows | length != 2 or rows[0][0] != rows[1][0] or rows[0][1] != rows[1][1] -%}
    {%- do return(false) -%}
  {%- endif -%}
  {%- set wanted = [] -%}
  {%- for index in config.get('indexes', default=[]) -%}
    {%- do wanted.append(postgres__index_name(existing_relation.incorporate(type='table'), index)) -%}
  {%- endfor -%}
  {%- do return((rows[0][2] or '') == wanted | unique | sort | join(' ')) -%}
{%- endmacro %}


{% macro postgres__replace_rows(target_relation, new_relation) -%}
  {%- set columns = get_quoted_csv(adapter.get_columns_in_relation(new_relation) | map(attribute='name')) -%}
  {%- call statement('delete_rows') -%}
    delete from {{ target_relation }}
  {%- endcall -%}
  {%- call statement('insert_rows') -%}
insert into {{ target_relation }} ({{ columns }})
select {{ columns }}
from {{ new_relation }}
  {%- endcall -%}
  {%- do adapter.drop_relation(new_relation.incorporate(type='table')) -%}
{%- endmacro %}


{# Puts the new relation in the place of the old one, and points at it what read the old one. #}
{% macro postgres__swap(target_relation, existing_relation, new_relation) -%}
  {%- set new_relation = new_relation.incorporate(type=target_relation.type) -%}
  {%- set backup_relation = make_backup_relation(target_relation, existing_relation.type) -%}
  {%- do postgres__clear_leftover(backup_relation) -%}
  {%- set dependents = postgres__dependents(existing_relation, new_relation) -%}
  {%- do postgres__refuse_to_break(existing_relation, dependents) -%}

  {#-
    The outermost first, as readers lock them. `lock table` of a view would lock all that the view
    reads as well, what other sessions are building among it; naming the owner anew locks it alone
    (and `alter table` takes views).
  -#}
  {%- for view in dependents if view['kind'] == 'view' -%}
    {%- call statement('lock_dependent') -%}
      alter table {{ view['name'] }} owner to {{ view['owner_name'] }}
    {%- endcall -%}
  {%- endfor -%}
  {%- if existing_relation.type == 'table' -%}
    {%- call statement('lock') -%}
      lock table {{ existing_relation }} in access exclusive mode
    {%- endcall -%}
  {%- endif -%}

  {%- for view in dependents if view['treatment'] > 0 -%}
    {%- call statement('drop_dependent') -%}
      drop {{ view['kind'] }} {{ view['name'] }}
    {%- endcall -%}
    {%- if view['treatment'] == 2 -%}
      {#- The model that builds it must not look for it. -#}
      {%- do adapter.cache_dropped(api.Relation.create(
        database=existing_relation.database, schema=view['schema'], identifier=view['identifier']
      )) -%}
    {%- endif -%}
  {%- endfor -%}

  {%- do adapter.rename_relation(existing_relation, backup_relation) -%}
  {%- do adapter.rename_relation(new_relation, target_relation) -%}

  {%- for view in dependents | reverse if view['treatment'] < 2 -%}
    {%- call statement('point_dependent') -%}
      create {{ 'or replace ' if view['treatment'] == 0 }}{{ view['kind'] }} {{ view['name'] }}
      {%- if view['options'] %} with ({{ view['options'] }}){% endif %} as
{{ view['definition'] }}
    {%- endcall -%}
    {%- if view['treatment'] == 1 -%}
      {%- for restore in view['restore'] or [] -%}
        {%- call statement('restore_dependent') -%}
          {{- restore -}}
        {%- endcall -%}
      {%- endfor -%}
    {%- endif -%}
  {%- endfor -%}

  {%- do adapter.drop_relation(backup_relation) -%}
{%- endmacro %}


{#
  What reads a relation, directly or through others, the outermost first. `treatment` is 0 where the
  definition can be replaced in place, 1 where the view must be made anew, 2 where it reads a column
  that is gone.
#}
{% macro postgres__dependents(existing_relation, new_relation) -%}
  {%- set sql -%}
with recursive edges as (
  select distinct
    d.refobjid as read_oid,
    d.refobjsubid as read_column,
    r.ev_class as view_oid
  from pg_catalog.pg_depend as d
  inner join pg_catalog.pg_rewrite as r on r.oid = d.objid
  where d.classid = 'pg_catalog.pg_rewrite'::regclass
    and d.refclassid = 'pg_catalog.pg_class'::regclass
    and r.ev_class <> d.refobjid
),

direct as (
  select
    edges.view_oid,
    max(case
      when edges.read_column = 0 then 0
      when fresh.attname is null then 2
      when fresh.atttypid <> old.atttypid or fresh.atttypmod <> old.atttypmod then 1
      else 0
    end) as treatment
  from edges
  left join pg_catalog.pg_attribute as old
    on old.attrelid = edges.read_oid and old.attnum = edges.read_column
  left join pg_catalog.pg_attribute as fresh
    on fresh.attrelid = {{ postgres__regclass(new_relation) }}
    and fresh.attname = old.attname
    and not fresh.attisdropped
  where edges.read_oid = {{ postgres__regclass(existing_relation) }}
  group by edges.view_oid
),

walk as (
  select
    direct.view_oid,
    1 as depth,
    greatest(direct.treatment, case when c.relkind = 'm' then 1 else 0 end) as treatment
  from direct
  inner join pg_catalog.pg_class as c on c.oid = direct.view_oid
  union
  select
    edges.view_oid,
    walk.depth + 1,
    greatest(walk.treatment, case when c.relkind = 'm' then 1 else 0 end)
  from walk
  inner join edges on edges.read_oid = walk.view_oid
  inner join pg_catalog.pg_class as c on c.oid = edges.view_oid
),

found as (
  select view_oid, max(depth) as depth, max(treatment) as treatment
  from walk
  group by view_oid
)

select
  n.nspname as schema_name,
  c.relname as view_name,
  quote_ident(n.nspname) || '.' || quote_ident(c.relname) as name,
  case c.relkind when 'm' then 'materialized view' else 'view' end as kind,
  found.treatment,
  rtrim(pg_catalog.pg_get_viewdef(c.oid), ';') as definition,
  array_to_string(c.reloptions, ', ') as options,
  quote_ident(pg_catalog.pg_get_userbyid(c.relowner)) as owner_name,
  (
    select 'alter ' || case c.relkind when 'm' then 'materialized view ' else 'view ' end
      || quote_ident(n.nspname) || '.' || quote_ident(c.relname)
      || ' owner to ' || quote_ident(pg_catalog.pg_get_userbyid(c.relowner))
    where c.relowner <> (select oid from pg_catalog.pg_roles where rolname = current_user)
  ) as owner,
  (
    select string_agg(
      'grant ' || acl.privilege_type
        || ' on ' || quote_ident(n.nspname) || '.' || quote_ident(c.relname)
        || ' to ' || case acl.grantee when 0 then 'public' else quote_ident(pg_catalog.pg_get_userbyid(acl.grantee)) end
        || case when acl.is_grantable then ' with grant option' else '' end,
      chr(10) order by acl.grantee, acl.privilege_type
    )
    from pg_catalog.aclexplode(c.relacl) as acl
    where acl.grantee <> c.relowner
  ) as grants,
  (
    select 'comment on ' || case c.relkind when 'm' then 'materialized view ' else 'view ' end
      || quote_ident(n.nspname) || '.' || quote_ident(c.relname)
      || ' is ' || quote_literal(pg_catalog.obj_description(c.oid, 'pg_class'))
  ) as comment,
  (
    select string_agg(
      'comment on column ' || quote_ident(n.nspname) || '.' || quote_ident(c.relname) || '.' || quote_ident(a.attname)
        || ' is ' || quote_literal(pg_catalog.col_description(c.oid, a.attnum)),
      chr(10) order by a.attnum
    )
    from pg_catalog.pg_attribute as a
    where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
      and pg_catalog.col_description(c.oid, a.attnum) is not null
  ) as column_comments,
  (
    select string_agg(pg_catalog.pg_get_indexdef(x.indexrelid), chr(10) order by x.indexrelid)
    from pg_catalog.pg_index as x
    where x.indrelid = c.oid
  ) as indexes
from found
inner join pg_catalog.pg_class as c on c.oid = found.view_oid
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
order by found.depth desc, c.oid
  {%- endset -%}
  {%- set dependents = [] -%}
  {%- for row in run_query(sql).rows -%}
    {%- set restore = [] -%}
    {#- The owner last: what comes before is done by who makes the view. -#}
    {%- for name in ['indexes', 'comment', 'column_comments', 'grants', 'owner'] if row[name] -%}
      {#- A comment may hold line breaks, so it is never cut; the other lists are one statement a line. -#}
      {%- if name in ['comment', 'owner'] -%}
        {%- do restore.append(row[name]) -%}
      {%- elif name == 'column_comments' -%}
        {%- do restore.append(row[name].replace('\ncomment on column ', ';\ncomment on column ')) -%}
      {%- else -%}
        {%- do restore.extend(row[name].split('\n')) -%}
      {%- endif -%}
    {%- endfor -%}
    {%- do dependents.append({
      'schema': row['schema_name'],
      'identifier': row['view_name'],
      'name': row['name'],
      'kind': row['kind'],
      'treatment': row['treatment'] | int,
      'definition': row['definition'],
      'options': row['options'],
      'owner_name': row['owner_name'],
      'restore': restore,
    }) -%}
  {%- endfor -%}
  {%- do return(dependents) -%}
{%- endmacro %}


{# Fails before anything is dropped that this project does not build itself. #}
{% macro postgres__refuse_to_break(existing_relation, dependents) -%}
  {%- set lost = dependents | selectattr('treatment', 'equalto', 2) | list -%}
  {%- if lost -%}
    {%- set ours = [] -%}
    {%- for node in graph.nodes.values() if node.resource_type in ['model', 'seed', 'test'] -%}
      {%- do ours.append((node.schema ~ '.' ~ (node.alias or node.name)) | lower) -%}
    {%- endfor -%}
    {%- for view in lost -%}
      {%- if (view['schema'] ~ '.' ~ view['identifier']) | lower not in ours -%}
        {%- do exceptions.raise_compiler_error(
          'the view `' ~ view['name'] ~ '` reads a column of `' ~ existing_relation
          ~ '` that the new one does not have, and it is no model of this project; drop or change the view first'
        ) -%}
      {%- endif -%}
    {%- endfor -%}
  {%- endif -%}
{%- endmacro %}


{% macro postgres__regclass(relation) -%}
to_regclass({{ dbt.text_literal(relation.include(database=false).render()) }})
{%- endmacro %}
