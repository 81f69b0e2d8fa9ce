{# Files of a stage, copied by the database itself. Names and texts come as the literals that they are. #}

{#
  One statement loads all of the files or nothing. What was loaded before does not count: the table is
  new each time, and a file that was corrected under its name must be read again.
#}
{% macro landing_copy(relation, columns, stage, files, options) -%}
copy into {{ relation }} ({{ columns | join(', ') }})
from {{ stage }}
files = ({{ files | join(', ') }})
file_format = (
    type = csv
    field_delimiter = {{ options.delimiter }}
    field_optionally_enclosed_by = {{ options.quote }}
    {%- if options.escape is not none %}
    escape = {{ options.escape }}
    {%- endif %}
    escape_unenclosed_field = none
    skip_header = {{ options.header_lines }}
    null_if = ({{ options.null if options.null is not none else '' }})
    empty_field_as_null = {{ 'true' if options.null is none else 'false' }}
    error_on_column_count_mismatch = true
    skip_blank_lines = true
    encoding = 'UTF8'
    compression = {{ options.compression }}
)
on_error = abort_statement
force = true
{%- endmacro %}


{# The partition of rows whose files do not hold it. #}
{% macro landing_fill_partition(relation, field, key) -%}
update {{ relation }}
set {{ field }} = {{ key }}
where {{ field }} is null
{%- endmacro %}


{# How many rows are in each partition, one column each. #}
{% macro landing_count_partitions(relation, field, partitions) -%}
select
    {%- for partition in partitions %}
    {%- if partition.equal is none %}
    count_if({{ field }} >= {{ partition.from }} and {{ field }} < {{ partition.to }})
    {%- else %}
    count_if({{ field }} = {{ partition.equal }})
    {%- endif %} as part_{{ loop.index }}{{ ',' if not loop.last }}
    {%- endfor %}
from {{ relation }}
{%- endmacro %}
