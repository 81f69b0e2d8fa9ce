{#
  Files as sources: SQL that reads them.

  A `part` is files that have the same columns: its `files` (each a literal `path`, and of its partition
  the `key` as a value and, where there are any, the bounds `from` and `to`), its `fields` (of the files,
  each a `literal` and a `quoted` name and what it is `read_as`), and which of them are `held` by name of
  column. A column has a `quoted` name, a `kind`, and a `type`.
#}

{% macro landing_create(relation, parts, columns, options) -%}
create or replace temp table {{ relation }} as
{{ landing_select(parts, columns, options) }}
{%- endmacro %}

{% macro landing_insert(relation, parts, columns, options) -%}
insert into {{ relation }}
{{ landing_select(parts, columns, options) }}
{%- endmacro %}

{% macro landing_select(parts, columns, options) -%}
{%- set bounds = {'equal': 'daygrain_key', 'from': 'daygrain_from', 'to': 'daygrain_to'} -%}
{% for part in parts -%}
{%- if part.files[0].from != 'null' -%}{%- do bounds.update(equal=none) -%}{%- endif -%}
select
    {%- for column in columns %}
    {%- set field = part.held.get(column.name) %}
    {%- if field is none %}
    case
        when daygrain_key is not null then daygrain_key
        else {{ landing_refuse("'no partition has ' || daygrain_file", column) }}
    end as {{ column.quoted }}
    {%- else %}
    cast({{ landing_value(column, field, bounds) }} as {{ column.type }}) as {{ column.quoted }}
    {%- endif %}{{ ',' if not loop.last }}
    {%- endfor %}
from {{ landing_read(part, options) }} as daygrain_rows
left join (
    values
    {%- for file in part.files %}
    ({{ file.path }}, {{ file.key }}, {{ file.from }}, {{ file.to }}){{ ',' if not loop.last }}
    {%- endfor %}
) as daygrain_files (daygrain_path, daygrain_key, daygrain_from, daygrain_to)
    on daygrain_file = daygrain_path
{{- '\nunion all\n' if not loop.last }}
{%- endfor %}
{%- endmacro %}


{% macro landing_read(part, options) -%}
{%- if options.format == 'parquet' -%}
read_parquet([{{ part.files | map(attribute='path') | join(', ') }}], filename = 'daygrain_file', hive_partitioning = false)
{%- else -%}
read_{{ options.format }}(
    [{{ part.files | map(attribute='path') | join(', ') }}],
    columns = {
        {%- for field in part.fields -%}
        {{ field.literal }}: '{{ field.read_as }}'{{ ', ' if not loop.last }}
        {%- endfor -%}
    },
    {%- if options.format == 'csv' %}
    auto_detect = false,
    header = {{ options.header }},
    delim = {{ options.delimiter }},
    quote = {{ options.quote }},
    escape = {{ options.escape }},
    nullstr = {{ options.null }},
    allow_quoted_nulls = false,
    {%- if options.read_ahead %}
    buffer_size = {{ options.read_ahead }},
    {%- endif %}
    {%- else %}
    format = 'auto',
    records = true,
    {%- endif %}
    compression = '{{ part.compression }}',
    filename = 'daygrain_file',
    hive_partitioning = false
)
{%- endif -%}
{%- endmacro %}


{# A value of a file as the column's type: nothing is rounded or cut off on the way. #}
{% macro landing_value(column, field, bounds) -%}
{%- set value = landing_plain_value(column, field) -%}
{%- if not column.is_field -%}
{{ value }}
{%- elif bounds.equal is none -%}
case
        when {{ value }} >= cast({{ bounds.from }} as {{ column.type }})
            and {{ value }} < cast({{ bounds.to }} as {{ column.type }}) then {{ value }}
        else {{ landing_refuse("'not of the partition: ' || coalesce(cast(" ~ value ~ " as varchar), 'null')", column) }}
    end
{%- else -%}
case
        when {{ value }} = cast({{ bounds.equal }} as {{ column.type }}) then {{ value }}
        else {{ landing_refuse("'not of the partition: ' || coalesce(cast(" ~ value ~ " as varchar), 'null')", column) }}
    end
{%- endif -%}
{%- endmacro %}

{# Fails by a cast that cannot be done: `error` is volatile, which `try` does not take. #}
{% macro landing_refuse(words, column) -%}
cast(cast({{ words }} as integer) as varchar)::{{ column.type }}
{%- endmacro %}

{% macro landing_plain_value(column, field) -%}
{%- set raw = field.quoted -%}
{%- if column.kind == 'timestamp' and field.read_as == 'timestamp with time zone' -%}
{{ landing_in_utc(raw) }}
{%- elif column.kind == 'instant' and field.read_as.startswith('timestamp') and field.read_as != 'timestamp with time zone' -%}
{{ landing_of_utc(raw) }}
{%- elif field.read_as != 'varchar' or column.kind == 'plain' -%}
cast({{ raw }} as {{ column.type }})
{%- elif column.kind == 'integer' -%}
case
        when contains({{ raw }}, '.') and not regexp_full_match({{ raw }}, '\s*[+-]?[0-9]+\.0*\s*')
            then {{ landing_refuse("'not a whole number: ' || " ~ raw, column) }}
        else cast({{ raw }} as {{ column.type }})
    end
{%- elif column.kind == 'decimal' -%}
case
        when contains({{ raw }}, '.')
            and length(rtrim(rtrim({{ raw }}), '0')) - position('.' in {{ raw }}) > {{ column.scale }}
            then {{ landing_refuse("'too many digits after the point: ' || " ~ raw, column) }}
        else cast({{ raw }} as {{ column.type }})
    end
{%- elif column.kind == 'date' -%}
case
        when length({{ raw }}) > 10 and not regexp_full_match({{ raw }}, '\s*[^ T]+([ T]00:00(:00(\.0+)?)?)?\s*')
            then {{ landing_refuse("'not a day: ' || " ~ raw, column) }}
        else cast({{ raw }} as {{ column.type }})
    end
{%- elif column.kind == 'timestamp' -%}
case
        when length({{ raw }}) = 19 and substr({{ raw }}, 17, 1) = ':' then cast({{ raw }} as {{ column.type }})
        when {{ landing_has_zone(raw) }} then {{ landing_in_utc('cast(' ~ raw ~ ' as timestamptz)') }}
        else cast({{ raw }} as {{ column.type }})
    end
{%- elif column.kind == 'instant' -%}
case
        when {{ landing_has_zone(raw) }} then cast({{ raw }} as timestamptz)
        else {{ landing_of_utc(raw) }}
    end
{%- endif -%}
{%- endmacro %}

{# A row where there is a zone to set: only the ICU extension knows any. #}
{% macro landing_zone_setting() -%}
select name from duckdb_settings() where name = 'TimeZone'
{%- endmacro %}

{% macro landing_set_utc() -%}
set TimeZone = 'UTC'
{%- endmacro %}

{# A moment as UTC's clock shows it, whatever the session's zone is; `timezone` needs the ICU extension. #}
{% macro landing_in_utc(moment) -%}
make_timestamp(epoch_us({{ moment }}))
{%- endmacro %}

{# The moment at which UTC's clock shows it; infinity is in no zone. #}
{% macro landing_of_utc(clock) -%}
case
            when isfinite(cast({{ clock }} as timestamp)) then cast(cast(cast({{ clock }} as timestamp) as varchar) || '+00' as timestamptz)
            else cast(cast({{ clock }} as timestamp) as timestamptz)
        end
{%- endmacro %}

{% macro landing_has_zone(raw) -%}
regexp_matches({{ raw }}, ':[0-9.]+ *([Zz]|UTC|[+-][0-9]{2}(:?[0-9]{2})?)\s*$')
{%- endmacro %}


{# How many rows there are by partition, whose names are as long as `pattern` makes them. #}
{% macro landing_count(relation, column, pattern) -%}
{%- if pattern is none -%}
{%- set name = 'cast(' ~ column.quoted ~ ' as varchar)' -%}
{%- elif column.kind == 'instant' -%}
{%- set name = "strftime(" ~ landing_in_utc(column.quoted) ~ ', ' ~ pattern ~ ')' -%}
{%- else -%}
{%- set name = 'strftime(' ~ column.quoted ~ ', ' ~ pattern ~ ')' -%}
{%- endif -%}
select {{ name }}, count(*)
from {{ relation }}
group by 1
{%- endmacro %}

{# Some rows of a table that does not change, in its order. #}
{% macro landing_rows(relation, from, to) -%}
select *
from {{ relation }}
where rowid >= {{ from }} and rowid < {{ to }}
order by rowid
{%- endmacro %}

{# The names and types of a Parquet file's columns, as its readers see them. #}
{% macro landing_describe(file) -%}
select column_name, column_type
from (describe select * from read_parquet([{{ file }}], hive_partitioning = false))
{%- endmacro %}

{# The keys that the objects of a JSON file have; null where something else is in it. #}
{% macro landing_json_keys(file, compression) -%}
select distinct unnest(case when json_type(json) = 'OBJECT' then json_keys(json) else [null] end)
from read_json_objects([{{ file }}], format = 'auto', compression = '{{ compression }}')
{%- endmacro %}

{# The first rows of a file whose value of a column cannot be read, counted from 1, and that value. #}
{% macro landing_bad_rows(part, column, field, bounds, options, most) -%}
select row_number, cast({{ field.quoted }} as varchar)
from (select *, row_number() over () as row_number from {{ landing_read(part, options) }})
where try({{ landing_value(column, field, bounds) }}) is null
    and ({{ field.quoted }} is not null{{ ' or true' if column.is_field }})
order by row_number
limit {{ most }}
{%- endmacro %}

{# Which of some values cannot be read as a column. #}
{% macro landing_bad_values(values, column, field, bounds) -%}
select place
from (
    values
    {%- for value in values %}
    ({{ loop.index0 }}, {{ value }}){{ ',' if not loop.last }}
    {%- endfor %}
) as given (place, {{ field.quoted }})
where try({{ landing_value(column, field, bounds) }}) is null
order by place
{%- endmacro %}
