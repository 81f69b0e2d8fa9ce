//! Loads rows in bulk.
//!
//! The client library cannot put files on a stage, so the rows travel as values: each statement
//! inserts from one bound text, a JSON array of rows, which the server takes apart. One value has
//! neither the limits of long statements (a megabyte of SQL, 16,384 rows in `values`) nor their
//! slow compilation. Values are texts, and the table's columns give them their types.

use snowflake_connector_rs::Statement;

use super::session::Session;
use crate::adapter::AdapterError;
use crate::dialect::SNOWFLAKE;
use crate::relation::Relation;
use crate::table::{Datum, Table};

/// How many bytes of rows one statement takes; a value may have sixteen megabytes.
const CHUNK: usize = 4 * 1024 * 1024;

/// Appends the rows to the relation, as part of the transaction that is wanted.
pub(super) async fn load(
    session: &mut Session,
    relation: &Relation,
    table: &Table,
) -> Result<u64, AdapterError> {
    if table.columns.is_empty() || table.rows.is_empty() {
        return Ok(0);
    }
    let sql = insert(relation, table);
    let mut loaded = 0;
    for chunk in chunks(&table.rows, CHUNK) {
        let make = || Statement::new(sql.clone()).bind(chunk.clone());
        loaded += session.change(&sql, make).await?;
    }
    Ok(loaded)
}

fn insert(relation: &Relation, table: &Table) -> String {
    let columns: Vec<String> = table
        .columns
        .iter()
        .map(|column| SNOWFLAKE.quote_identifier(&column.name))
        .collect();
    let values: Vec<String> = (0..columns.len())
        .map(|index| format!("value[{index}]::varchar"))
        .collect();
    format!(
        "insert into {} ({})\nselect {}\nfrom table(flatten(input => parse_json(?)))",
        relation.render(&SNOWFLAKE),
        columns.join(", "),
        values.join(", ")
    )
}

/// Writes the rows as JSON arrays of about so many bytes.
fn chunks(rows: &[Vec<Datum>], most: usize) -> Vec<String> {
    let mut chunks = Vec::new();
    let mut text = String::from("[");
    for row in rows {
        if text.len() > most {
            text.push(']');
            chunks.push(std::mem::replace(&mut text, String::from("[")));
        }
        if text.len() > 1 {
            text.push(',');
        }
        let cells: Vec<serde_json::Value> = row.iter().map(cell).collect();
        text.push_str(&serde_json::Value::Array(cells).to_string());
    }
    text.push(']');
    chunks.push(text);
    chunks
}

/// A value as the text that its column's type reads.
fn cell(datum: &Datum) -> serde_json::Value {
    match datum {
        Datum::Null => serde_json::Value::Null,
        Datum::Bool(value) => value.to_string().into(),
        other => other.to_text().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_cut_into_texts() {
        let rows = vec![
            vec![Datum::Int(1), Datum::Null],
            vec![Datum::Bool(true), Datum::Text("a\"'\\".into())],
            vec![Datum::Decimal("1.50".into()), Datum::Text(String::new())],
        ];
        assert_eq!(
            chunks(&rows, 5),
            [
                r#"[["1",null]]"#,
                r#"[["true","a\"'\\"]]"#,
                r#"[["1.50",""]]"#
            ]
        );
        assert_eq!(chunks(&rows, 15).len(), 2);
    }
}
