//! dbt's JSON artifacts; nothing else knows their shapes.
