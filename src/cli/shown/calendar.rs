//! The calendar of a relation, read at a glance: a line a month with a mark a day.

use std::fmt::Write;

use anstyle::Style;
use jiff::Timestamp;
use serde_json::{Value as Json, json};

use super::{BLUE, BOLD, CYAN, DIM, GREEN, RED, YELLOW, count, moment, rows, styled, thousands};
use crate::calendar::Granularity;
use crate::planner::overview::{Cell, Mark, Overview};

/// At most so many notes stand below the calendar.
const NOTES: usize = 20;

/// The partitions as JSON, in order.
pub fn to_json(overview: &Overview) -> Json {
    let cells = overview.cells.iter();
    cells
        .map(|cell| {
            json!({
                "partition": cell.key,
                "status": cell.mark.as_str(),
                "rows": cell.rows,
                "version": cell.version,
                "build": cell.build,
                "reason": cell.reason,
            })
        })
        .collect()
}

/// The sign of a mark, which can be told from the others without its colour.
fn sign(mark: Mark) -> (char, Style) {
    match mark {
        Mark::Fresh => ('■', GREEN),
        Mark::OlderCode => ('▣', GREEN),
        Mark::Adopted => ('▤', GREEN),
        Mark::Provisional => ('◧', GREEN),
        Mark::Stale => ('□', YELLOW),
        Mark::Refused => ('!', RED),
        Mark::Failed => ('x', RED),
        Mark::Waiting => ('w', YELLOW),
        Mark::Missing => ('?', YELLOW),
        Mark::Frozen => ('*', CYAN),
        Mark::Expired => ('-', BLUE),
        Mark::NotDue => ('·', DIM),
    }
}

fn painted(mark: Mark) -> String {
    let (sign, style) = sign(mark);
    styled(style, sign)
}

/// A line of the calendar: its name, and the cells by column.
struct Line<'a> {
    name: String,
    cells: Vec<(usize, &'a Cell)>,
}

/// Where a partition stands: the line's name and the column.
fn place(unit: Granularity, partition: i32) -> (String, usize) {
    let start = unit.civil_start(partition);
    let at = |number: i8| usize::try_from(number).unwrap_or(0);
    match unit {
        Granularity::Hour => (start.date().to_string(), at(start.hour())),
        Granularity::Day => (start.strftime("%Y-%m").to_string(), at(start.day()) - 1),
        Granularity::Month => (format!("{:04}", start.year()), at(start.month()) - 1),
        Granularity::Year => {
            let year = usize::try_from(start.year()).unwrap_or(0);
            (format!("{:03}x", year / 10), year % 10)
        }
    }
}

/// What stands above the columns, and how many there are.
fn heading(unit: Granularity) -> (&'static str, usize) {
    match unit {
        Granularity::Hour => ("0     6     12    18", 24),
        Granularity::Day => ("1   5    10   15   20   25   30", 31),
        Granularity::Month => ("JFMAMJJASOND", 12),
        Granularity::Year => ("0123456789", 10),
    }
}

/// The calendar as text.
pub fn to_text(overview: &Overview, as_of: Timestamp) -> String {
    let total: Vec<i64> = overview.cells.iter().filter_map(|cell| cell.rows).collect();
    let counted = match total.is_empty() {
        true => String::new(),
        false => format!(", {}", rows(total.iter().sum())),
    };
    let mut text = styled(BOLD, &overview.name);
    let facts = match (overview.unit, overview.cells.first(), overview.cells.last()) {
        (Some(unit), Some(first), Some(last)) => format!(
            "{}, {} .. {}{counted}",
            count(overview.cells.len(), unit.as_str()),
            first.key,
            last.key
        ),
        (Some(unit), ..) => format!("no {} is due", unit.as_str()),
        (None, ..) if !counted.is_empty() => counted.trim_start_matches(", ").to_owned(),
        _ => "never built".to_owned(),
    };
    let at = styled(
        DIM,
        format!("{} as of {}", overview.relation, moment(as_of)),
    );
    let _ = writeln!(text, "  {facts}  {at}");
    match overview.unit {
        Some(unit) => add_lines(&mut text, unit, &overview.cells),
        None => {
            for cell in &overview.cells {
                let _ = write!(text, "\n  {} {}", painted(cell.mark), cell.mark.words());
                if let Some(reason) = &cell.reason {
                    let _ = write!(text, ": {reason}");
                }
            }
            return text;
        }
    }
    add_legend(&mut text, overview);
    let signed = overview.notes.iter().take(NOTES);
    let width = signed.clone().map(|note| note.span.chars().count()).max();
    let width = width.unwrap_or(0);
    if !overview.notes.is_empty() {
        text.push('\n');
    }
    for note in signed {
        let _ = write!(
            text,
            "\n  {} {:<width$}  {}",
            painted(note.mark),
            note.span,
            note.text
        );
    }
    if overview.notes.len() > NOTES {
        let _ = write!(text, "\n    and {} more", overview.notes.len() - NOTES);
    }
    text
}

fn add_lines(text: &mut String, unit: Granularity, cells: &[Cell]) {
    let mut lines: Vec<Line<'_>> = Vec::new();
    for cell in cells {
        let (name, column) = place(unit, cell.partition);
        match lines.last_mut() {
            Some(line) if line.name == name => line.cells.push((column, cell)),
            _ => lines.push(Line {
                name,
                cells: vec![(column, cell)],
            }),
        }
    }
    let Some(first) = lines.first() else {
        return;
    };
    let (ticks, columns) = heading(unit);
    let margin = first.name.chars().count();
    let _ = writeln!(text, "\n  {:margin$}  {}", "", styled(DIM, ticks));
    let totals: Vec<String> = lines
        .iter()
        .map(|line| {
            let counted: Vec<i64> = line
                .cells
                .iter()
                .filter_map(|(_, cell)| cell.rows)
                .collect();
            match counted.is_empty() {
                true => String::new(),
                false => rows(counted.iter().sum()),
            }
        })
        .collect();
    let wide = totals.iter().map(String::len).max().unwrap_or(0);
    for (line, total) in lines.iter().zip(&totals) {
        let mut marks = String::new();
        let mut at = 0;
        for (column, cell) in &line.cells {
            marks.push_str(&" ".repeat(column.saturating_sub(at)));
            marks.push_str(&painted(cell.mark));
            at = column + 1;
        }
        let rest = " ".repeat(columns.saturating_sub(at));
        let total = styled(DIM, format!("{total:>wide$}"));
        let _ = writeln!(text, "  {}  {marks}{rest}  {total}", line.name);
    }
}

fn add_legend(text: &mut String, overview: &Overview) {
    let told: Vec<String> = Mark::ALL
        .into_iter()
        .filter_map(|mark| {
            let cells = overview.cells.iter().filter(|cell| cell.mark == mark);
            let number = cells.count();
            let words = mark.words();
            (number > 0).then(|| format!("{} {} {words}", painted(mark), thousands(number as i64)))
        })
        .collect();
    if overview.unit.is_some() && !told.is_empty() {
        let _ = write!(text, "\n  {}", told.join("   "));
    }
}
