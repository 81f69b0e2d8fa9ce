{# The incremental strategy `microbatch`: the rows of the batch's time give way to the new ones. #}

{% macro duckdb__get_incremental_microbatch_sql(arg_dict) -%}
  {%- if config.get('unique_key') -%}
    {%- do exceptions.raise_compiler_error(
      "the incremental strategy `microbatch` does not support 'unique_key' here: it replaces rows by `event_time`; "
      ~ "remove the key, or use `merge`"
    ) -%}
  {%- endif -%}
  {%- set batch = model.get('batch') -%}
  {%- if not batch -%}
    {%- do exceptions.raise_compiler_error('the incremental strategy `microbatch` works in batches, and this is none') -%}
  {%- endif -%}
  {%- set columns = get_quoted_csv(arg_dict['dest_columns'] | map(attribute='name')) -%}
  {%- set time = config.get('event_time') -%}
  {%- set in_batch = time ~ " >= '" ~ batch.event_time_start ~ "'\n  and " ~ time ~ " < '" ~ batch.event_time_end ~ "'" -%}
delete from {{ arg_dict['target_relation'] }}
where {{ in_batch }}
{%- for predicate in predicate_list(arg_dict['incremental_predicates']) %}
  and ({{ predicate }})
{%- endfor %};

insert into {{ arg_dict['target_relation'] }} ({{ columns }})
select {{ columns }}
from {{ arg_dict['temp_relation'] }}
where {{ in_batch }}
{%- endmacro %}
