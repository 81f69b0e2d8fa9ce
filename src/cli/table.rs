//! The rows of `show`: a table for people, JSON for programs.

use comfy_table::presets::{ASCII_MARKDOWN, UTF8_FULL_CONDENSED};
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table as Grid};
use serde_json::json;

use crate::table::Table;

/// Lays rows out as dbt's table of `|` and `-`: numbers to the right, null empty.
pub fn to_text(table: &Table) -> String {
    let mut grid = grid(table);
    grid.load_style(ASCII_MARKDOWN);
    grid.to_string()
}

/// Lays rows out for a terminal of so many columns, with lines around; long texts are broken to fit.
pub fn to_grid(table: &Table, width: u16) -> String {
    let mut grid = grid(table);
    grid.load_style(UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(width);
    grid.to_string()
}

fn grid(table: &Table) -> Grid {
    let mut grid = Grid::new();
    grid.force_no_tty();
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
    grid
}

/// dbt's JSON of `show --output json`: the node's name, unless it was inline, and its rows.
pub fn to_json(node: Option<&str>, table: &Table) -> String {
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
        insta::assert_snapshot!(to_text(&orders()), @r"
        | id   | note  | day        |
        |------|-------|------------|
        |    7 | first | 2026-01-02 |
        | 1200 |       |            |
        ");
    }

    #[test]
    fn a_terminal_gets_lines_around_and_broken_texts() {
        let mut rows = orders();
        rows.rows[0][1] = Datum::Text("a note that is too long".to_owned());
        insta::assert_snapshot!(to_grid(&rows, 36), @r"
        ┌──────┬──────────────┬────────────┐
        │ id   ┆ note         ┆ day        │
        ╞══════╪══════════════╪════════════╡
        │    7 ┆ a note that  ┆ 2026-01-02 │
        │      ┆ is too long  ┆            │
        │ 1200 ┆              ┆            │
        └──────┴──────────────┴────────────┘
        ");
    }

    #[test]
    fn json_has_the_shape_of_dbt() {
        insta::assert_snapshot!(to_json(Some("orders"), &orders()), @r#"
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
        insta::assert_snapshot!(to_json(None, &Table::default()), @r#"
        {
          "show": []
        }
        "#);
    }
}
