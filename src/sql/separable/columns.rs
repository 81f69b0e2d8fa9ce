//! The columns of a relation as far as a query tells them, and which of them carry the partition.

use std::collections::BTreeSet;

use sqlparser::ast::Ident;

use crate::dialect::{Dialect, Folding};

/// One column, or a run of columns that nobody knows.
#[derive(Clone, Debug)]
pub(super) enum Slot {
    Column {
        name: Name,
        /// Whether it is never null and determines the row's partition.
        key: bool,
    },
    Others {
        /// Names of keys that are certainly among them.
        keys: BTreeSet<String>,
        /// Names that certainly are not among them.
        lacks: BTreeSet<String>,
        /// Says which columns they are and in which order: the same where this is the same.
        origin: Option<String>,
    },
}

/// What a column is called.
#[derive(Clone, Debug)]
pub(super) enum Name {
    /// As the database folds it.
    Known(String),
    /// The database takes the name from this text, in lower case.
    From(String),
}

/// What a name means in a relation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Key,
    Other,
    Absent,
    Unknown,
}

/// The rows of a relation: what they depend on, and their columns.
#[derive(Clone, Debug)]
pub(super) struct Rows {
    /// Whether they depend on a relation that is read by partition.
    pub daily: bool,
    pub columns: Vec<Slot>,
}

/// Columns that nobody knows.
pub(super) fn unknown() -> Slot {
    Slot::Others {
        keys: BTreeSet::new(),
        lacks: BTreeSet::new(),
        origin: None,
    }
}

/// What the database makes of an identifier, so that two are equal if they mean the same.
pub(in crate::sql) fn fold(dialect: &Dialect, identifier: &Ident) -> String {
    match identifier.quote_style {
        Some(_) if dialect.folding != Folding::Insensitive => identifier.value.clone(),
        _ => fold_text(dialect, &identifier.value),
    }
}

/// [`fold`] of an identifier without quotes.
pub(super) fn fold_text(dialect: &Dialect, identifier: &str) -> String {
    match dialect.folding {
        Folding::Lower | Folding::Insensitive => identifier.to_ascii_lowercase(),
        Folding::Upper => identifier.to_ascii_uppercase(),
    }
}

/// What the database may compare the name of a relation with, which queries write in quotes or without.
pub(in crate::sql) fn spellings(dialect: &Dialect, name: &str) -> BTreeSet<String> {
    match dialect.folding {
        Folding::Insensitive => BTreeSet::from([fold_text(dialect, name)]),
        _ => BTreeSet::from([fold_text(dialect, name), name.to_owned()]),
    }
}

/// Looks a name up. Where two columns have it, the first is meant, or the database refuses.
pub(super) fn find(columns: &[Slot], name: &str) -> Found {
    for slot in columns {
        match slot {
            Slot::Column {
                name: Name::Known(own),
                key,
            } if own == name => {
                return if *key { Found::Key } else { Found::Other };
            }
            Slot::Column {
                name: Name::Known(_),
                ..
            } => {}
            Slot::Column {
                name: Name::From(text),
                ..
            } => {
                if text.contains(&name.to_ascii_lowercase()) {
                    return Found::Unknown;
                }
            }
            Slot::Others { keys, .. } if keys.contains(name) => return Found::Key,
            Slot::Others { lacks, .. } if lacks.contains(name) => {}
            Slot::Others { .. } => return Found::Unknown,
        }
    }
    Found::Absent
}

/// The names that find a key, in order.
pub(super) fn keys(columns: &[Slot]) -> Vec<String> {
    let mut names = Vec::new();
    for slot in columns {
        match slot {
            Slot::Column {
                name: Name::Known(name),
                key: true,
            } => names.push(name.clone()),
            Slot::Column { .. } => {}
            Slot::Others { keys, .. } => names.extend(keys.iter().cloned()),
        }
    }
    names.retain(|name| find(columns, name) == Found::Key);
    names
}

/// Tells whether any column is a key, be it without a name to reach it.
pub(super) fn has_key(columns: &[Slot]) -> bool {
    columns.iter().any(|slot| match slot {
        Slot::Column { key, .. } => *key,
        Slot::Others { keys, .. } => !keys.is_empty(),
    })
}

/// Gives the first columns new names, as `as t(a, b)` does.
pub(super) fn rename_first(columns: &mut [Slot], names: Vec<String>) {
    let mut names = names.into_iter();
    let mut lost = false;
    for slot in columns {
        match slot {
            // Nobody knows which of them, and which of those behind, get the names that are left.
            Slot::Others { .. } if names.len() > 0 => lost = true,
            Slot::Column { name, .. } if !lost => match names.next() {
                Some(new) => *name = Name::Known(new),
                None => return,
            },
            _ => {}
        }
        if lost {
            *slot = unknown();
        }
    }
}

/// The columns of a union and the like, which go by position; keys are those of both.
pub(super) fn align(left: &[Slot], right: &[Slot]) -> Vec<Slot> {
    let both = |pair: (&Slot, &Slot)| match pair {
        (Slot::Column { name, key }, Slot::Column { key: other, .. }) => Some(Slot::Column {
            name: name.clone(),
            key: *key && *other,
        }),
        (
            Slot::Others {
                keys,
                lacks,
                origin: Some(origin),
            },
            Slot::Others {
                keys: other,
                origin: Some(same),
                ..
            },
        ) if origin == same => Some(Slot::Others {
            keys: keys & other,
            lacks: lacks.clone(),
            origin: Some(origin.clone()),
        }),
        _ => None,
    };
    let mut front: Vec<Slot> = left.iter().zip(right).map_while(both).collect();
    let (left, right) = (&left[front.len()..], &right[front.len()..]);
    if left.is_empty() && right.is_empty() {
        return front;
    }
    // Both have as many columns, so that the last ones meet as well.
    let back: Vec<Slot> = left
        .iter()
        .rev()
        .zip(right.iter().rev())
        .map_while(both)
        .collect();
    front.push(unknown());
    front.extend(back.into_iter().rev());
    front
}

/// The columns of a union by name; keys are those of both.
pub(super) fn align_by_name(left: &[Slot], right: &[Slot]) -> Vec<Slot> {
    let mut names = keys(left);
    names.retain(|name| find(right, name) == Found::Key);
    vec![Slot::Others {
        keys: names.into_iter().collect(),
        lacks: BTreeSet::new(),
        origin: None,
    }]
}
