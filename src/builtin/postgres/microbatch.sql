{# The incremental strategy `microbatch`: a merge by key, as in dbt. #}

{% macro postgres__get_incremental_microbatch_sql(arg_dict) -%}
  {%- if not arg_dict['unique_key'] -%}
    {%- do exceptions.raise_compiler_error(
      'the incremental strategy `microbatch` requires a `unique_key` config on this database, where each batch is merged'
    ) -%}
  {%- endif -%}
  {{- return(adapter.dispatch('get_incremental_merge_sql', 'dbt')(arg_dict)) -}}
{%- endmacro %}
