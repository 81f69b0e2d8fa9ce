//! The rows of `show`: a table for people, JSON for programs.

use comfy_table::presets::{ASCII_MARKDOWN, UTF8_FULL_CONDENSED};
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table as Grid};
use serde_json::json;

use crate::table::Table;

/// Lays rows out, numbers to the right and null empty: as dbt's table of `|` and `-`, or, where the
/// terminal's `width` is given, with lines around it and long texts broken to fit.
pub fn text(table: &Table, width: Option<u16>) -> String {
    let mut grid = Grid::new();
    grid.load_style(ASCII_MARKDOWN);
    if let Some(width) = width {
        grid.load_style(UTF8_FULL_CONDENSED);
        grid.set_content_arrangement(ContentArrangement::Dynamic);
        grid.set_width(width);
    }
    grid.set_header(table.columns.iter().map(|column| column.name.as_str()));
    for row in &table.rows {
        grid.add_row(row.iter().map(|value| {
            let alignment = if value.is_number() {
                CellAlignment::Right
            } else {
                CellAlignment::Left
            };
            Cell::new(value.to_text()).set_alignment(alignment)
        }));
    }
    grid.to_string()
}

/// dbt's JSON of `show --output json`: the node's name, unless it was inline, and its rows.
pub fn json(node: Option<&str>, table: &Table) -> String {
    let rows = table.to_json();
    let value = match node {
        Some(node) => json!({"node": node, "show": rows}),
        None => json!({"show": rows}),
    };
    serde_json::to_string_pretty(&value).expect("every key is text")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{Datum, ResultColumn};

    fn orders() -> Table {
        let column = |name: &str| ResultColumn {
            name: name.to_owned(),
            data_type: String::new(),
        };
        Table {
            columns: vec![column("id"), column("note"), column("day")],
            rows: vec![
                vec![
                    Datum::Int(7),
                    Datum::Text("first".to_owned()),
                    Datum::Date(jiff::civil::date(2026, 1, 2)),
                ],
                vec![Datum::Int(1200), Datum::Null, Datum::Null],
            ],
        }
    }

    #[test]
    fn a_table_aligns_numbers_and_leaves_null_empty() {
        insta::assert_snapshot!(text(&orders(), None), @r"
        | id   | note  | day        |
        |------|-------|------------|
        |    7 | first | 2026-01-02 |
        | 1200 |       |            |
        ");
    }

    #[test]
    fn json_has_the_shape_of_dbt() {
        insta::assert_snapshot!(json(Some("orders"), &orders()), @r#"
        {
          "node": "orders",
          "show": [
            {
              "id": 7,
              "note": "first",
              "day": "2026-01-02"
            },
            {
              "id": 1200,
              "note": null,
              "day": null
            }
          ]
        }
        "#);
        insta::assert_snapshot!(json(None, &Table::default()), @r#"
        {
          "show": []
        }
        "#);
    }
}
