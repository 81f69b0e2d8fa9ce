//! What the names of one FROM mean, which of its sources are of the same partition, and joins.

use std::collections::BTreeSet;

use sqlparser::ast::{
    BinaryOperator, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectNamePart,
};

use super::columns::{Found, Slot, find, fold, keys};
use super::{Entangled, entangled};
use crate::dialect::Dialect;

/// A relation of a FROM.
#[derive(Clone, Debug)]
pub(super) struct Source {
    /// The name that qualifies its columns.
    pub alias: Option<String>,
    pub daily: bool,
    pub columns: Vec<Slot>,
    /// Sources with the same number are of the same partition in each row.
    set: usize,
}

/// A column of a source that is the source's partition or null.
pub(super) type KeyRef = (usize, String);

/// The sources of a FROM, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    pub sources: Vec<Source>,
    /// Of each of these, at least one column is not null in any row.
    present: Vec<BTreeSet<KeyRef>>,
    /// Columns that USING has merged, and what they are the first present of, if that are keys.
    pub merged: Vec<(String, Option<BTreeSet<KeyRef>>)>,
    /// Names that the SELECT gives to something else; without a qualifier they say nothing certain.
    pub shadowed: BTreeSet<String>,
}

/// The joins that are told apart here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Inner,
    Left,
    Right,
    Full,
    /// Semi and anti joins: the rows of the left side that have, or have no, match.
    Half,
}

impl Scope {
    /// The scope of one source.
    pub fn of(alias: Option<String>, daily: bool, columns: Vec<Slot>) -> Scope {
        let present = keys(&columns)
            .into_iter()
            .map(|name| BTreeSet::from([(0, name)]));
        Scope {
            present: present.collect(),
            sources: vec![Source {
                alias,
                daily,
                columns,
                set: 0,
            }],
            ..Scope::default()
        }
    }

    /// Tells whether a row depends on a partition.
    pub fn daily(&self) -> bool {
        self.sources.iter().any(|source| source.daily)
    }

    /// The name of a key, for messages.
    pub fn key_name(&self) -> String {
        let daily = self.sources.iter().filter(|source| source.daily);
        let mut names = daily.flat_map(|source| keys(&source.columns));
        names.next().unwrap_or_else(|| "its partition".to_owned())
    }

    /// What an expression is the first present of, if these are keys of sources of one partition.
    ///
    /// Only columns, and `coalesce` of columns, are.
    pub fn keys_of(&self, dialect: &Dialect, expr: &Expr) -> Option<BTreeSet<KeyRef>> {
        match expr {
            Expr::Nested(inner) => self.keys_of(dialect, inner),
            Expr::Identifier(name) => self.unqualified(&fold(dialect, name)),
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [table, column] => {
                    let place = self.place_of(&fold(dialect, table))?;
                    let column = fold(dialect, column);
                    let found = find(&self.sources[place].columns, &column);
                    (found == Found::Key).then(|| BTreeSet::from([(place, column)]))
                }
                _ => None,
            },
            Expr::Function(function) => {
                let name = match function.name.0.as_slice() {
                    [ObjectNamePart::Identifier(name)] => name.value.to_ascii_lowercase(),
                    _ => return None,
                };
                if !["coalesce", "ifnull", "nvl"].contains(&name.as_str()) {
                    return None;
                }
                let FunctionArguments::List(list) = &function.args else {
                    return None;
                };
                let mut refs = BTreeSet::new();
                for argument in &list.args {
                    let FunctionArg::Unnamed(FunctionArgExpr::Expr(argument)) = argument else {
                        return None;
                    };
                    refs.extend(self.keys_of(dialect, argument)?);
                }
                self.one_set(&refs).then_some(refs)
            }
            _ => None,
        }
    }

    /// Tells whether an expression is never null and determines the row's partition.
    pub fn is_key(&self, dialect: &Dialect, expr: &Expr) -> bool {
        let refs = self.keys_of(dialect, expr);
        refs.is_some_and(|refs| self.is_present(&refs))
    }

    /// Tells whether the first present of these is there in every row.
    pub fn is_present(&self, refs: &BTreeSet<KeyRef>) -> bool {
        self.present.iter().any(|group| group.is_subset(refs))
    }

    /// The only source that is called so.
    pub fn place_of(&self, alias: &str) -> Option<usize> {
        let named = |source: &Source| source.alias.as_deref() == Some(alias);
        let mut places = (0..self.sources.len()).filter(|place| named(&self.sources[*place]));
        let place = places.next()?;
        places.next().is_none().then_some(place)
    }

    /// Tells whether any source is called so.
    pub fn has_alias(&self, alias: &str) -> bool {
        let named = |source: &Source| source.alias.as_deref() == Some(alias);
        self.sources.iter().any(named)
    }

    fn unqualified(&self, name: &str) -> Option<BTreeSet<KeyRef>> {
        if self.shadowed.contains(name) {
            return None;
        }
        if let Some((_, refs)) = self.merged.iter().find(|(merged, _)| merged == name) {
            return refs.clone();
        }
        // Where columns are unknown, one may have the name too: then the database refuses it.
        let mut hit = None;
        for (place, source) in self.sources.iter().enumerate() {
            match find(&source.columns, name) {
                Found::Key if hit.is_none() => hit = Some(place),
                Found::Key | Found::Other => return None,
                Found::Absent | Found::Unknown => {}
            }
        }
        hit.map(|place| BTreeSet::from([(place, name.to_owned())]))
    }

    fn one_set(&self, refs: &BTreeSet<KeyRef>) -> bool {
        let sets: BTreeSet<usize> = refs
            .iter()
            .map(|(place, _)| self.sources[*place].set)
            .collect();
        sets.len() == 1
    }

    /// Fails unless all sources that have partitions are of the same one.
    pub fn same_partition(&self) -> Result<(), Entangled> {
        let mut daily = self.sources.iter().filter(|source| source.daily);
        let Some(first) = daily.next() else {
            return Ok(());
        };
        match daily.find(|source| source.set != first.set) {
            None => Ok(()),
            Some(other) => {
                let name =
                    |source: &Source| source.alias.clone().unwrap_or_else(|| "a subquery".into());
                Err(entangled(format!(
                    "`{}` and `{}` are joined without an equality of their `{}`",
                    name(first),
                    name(other),
                    self.key_name()
                )))
            }
        }
    }

    /// Takes over what a condition says that holds for every row.
    pub fn assume(&mut self, dialect: &Dialect, condition: &Expr) {
        for (left, right) in self.equalities(dialect, condition) {
            self.unite(left, right);
        }
    }

    /// The sources whose keys a condition says to be equal.
    fn equalities(&self, dialect: &Dialect, condition: &Expr) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        for part in conjuncts(condition) {
            if let Expr::BinaryOp {
                left,
                op: BinaryOperator::Eq,
                right,
            } = part
                && let Some(left) = self.keys_of(dialect, left)
                && let Some(right) = self.keys_of(dialect, right)
                && let (Some((left, _)), Some((right, _))) = (left.first(), right.first())
            {
                found.push((*left, *right));
            }
        }
        found
    }

    fn unite(&mut self, left: usize, right: usize) {
        // The lower number stays, so that no number points behind the last source.
        let (one, other) = (self.sources[right].set, self.sources[left].set);
        let (low, high) = (one.min(other), one.max(other));
        for source in &mut self.sources {
            if source.set == high {
                source.set = low;
            }
        }
    }

    /// Puts two lists of sources side by side: every row of one with every row of the other.
    pub fn beside(mut self, other: Scope) -> Scope {
        let offset = self.sources.len();
        let moved = |refs: BTreeSet<KeyRef>| -> BTreeSet<KeyRef> {
            let refs = refs.into_iter();
            refs.map(|(place, name)| (place + offset, name)).collect()
        };
        self.sources
            .extend(other.sources.into_iter().map(|mut source| {
                source.set += offset;
                source
            }));
        self.present.extend(other.present.into_iter().map(moved));
        for (name, refs) in other.merged {
            // Without a qualifier, the name now means two columns.
            let refs = refs
                .filter(|_| !self.merged.iter().any(|(own, _)| *own == name))
                .map(moved);
            self.merged.push((name, refs));
        }
        self
    }
}

/// The parts of a condition that AND joins.
pub(super) fn conjuncts(condition: &Expr) -> Vec<&Expr> {
    match condition {
        Expr::Nested(inner) => conjuncts(inner),
        Expr::BinaryOp {
            left,
            op: BinaryOperator::And,
            right,
        } => {
            let mut parts = conjuncts(left);
            parts.extend(conjuncts(right));
            parts
        }
        other => vec![other],
    }
}

/// What a join goes by.
pub(super) enum On<'e> {
    Condition(&'e Expr),
    Columns(Vec<String>),
    Nothing,
}

/// Joins two lists of sources.
pub(super) fn join(
    dialect: &Dialect,
    left: Scope,
    right: Scope,
    kind: Kind,
    on: &On<'_>,
) -> Result<Scope, Entangled> {
    let width = left.sources.len();
    let (left_daily, right_daily) = (left.daily(), right.daily());
    let kept_whole = match kind {
        Kind::Inner => None,
        Kind::Left | Kind::Half if right_daily && !left_daily => Some("left"),
        Kind::Right if left_daily && !right_daily => Some("right"),
        Kind::Full if left_daily != right_daily => Some("full"),
        _ => None,
    };
    if let Some(side) = kept_whole {
        let side = if kind == Kind::Half {
            "semi or anti"
        } else {
            side
        };
        return Err(entangled(format!(
            "a {side} join keeps rows that belong to no `{}`",
            left.clone().beside(right).key_name()
        )));
    }
    let left_present = left.present.len();
    let left_merged = left.merged.clone();
    if kind != Kind::Inner {
        left.same_partition()?;
        right.same_partition()?;
    }
    let merging = match on {
        On::Columns(names) => names.as_slice(),
        _ => &[],
    };
    let of_left: Vec<_> = merging.iter().map(|name| left.unqualified(name)).collect();
    let of_right: Vec<_> = merging.iter().map(|name| right.unqualified(name)).collect();
    let mut scope = left.beside(right);
    let mut equal = match on {
        On::Condition(condition) => scope.equalities(dialect, condition),
        _ => Vec::new(),
    };
    for (name, (left, right)) in merging.iter().zip(of_left.into_iter().zip(of_right)) {
        let right: Option<BTreeSet<KeyRef>> = right.map(|refs| {
            let refs = refs.into_iter();
            refs.map(|(place, name)| (place + width, name)).collect()
        });
        if let (Some(left), Some(right)) = (&left, &right)
            && let (Some((left, _)), Some((right, _))) = (left.first(), right.first())
        {
            equal.push((*left, *right));
        }
        let refs = merged(dialect, kind, left, right);
        scope.merged.retain(|(merged, _)| merged != name);
        scope.merged.push((name.clone(), refs));
    }
    if kind != Kind::Inner && left_daily && right_daily {
        let crossing = |(one, other): &(usize, usize)| (*one < width) != (*other < width);
        equal.retain(crossing);
        if equal.is_empty() {
            scope.same_partition()?;
        }
    }
    if kind == Kind::Inner || (left_daily && right_daily) {
        for (left, right) in equal {
            scope.unite(left, right);
        }
    }
    let right_groups = scope.present.split_off(left_present);
    match kind {
        Kind::Inner => scope.present.extend(right_groups),
        Kind::Left => {}
        Kind::Right => scope.present = right_groups,
        Kind::Full => {
            let left_groups = std::mem::take(&mut scope.present);
            for left in &left_groups {
                scope
                    .present
                    .extend(right_groups.iter().map(|right| left | right));
            }
        }
        Kind::Half => {
            scope.sources.truncate(width);
            scope.merged = left_merged;
        }
    }
    Ok(scope)
}

/// What a merged column is the first present of.
fn merged(
    dialect: &Dialect,
    kind: Kind,
    left: Option<BTreeSet<KeyRef>>,
    right: Option<BTreeSet<KeyRef>>,
) -> Option<BTreeSet<KeyRef>> {
    let standard = dialect.parser != crate::dialect::Parser::Snowflake;
    match (kind, left, right) {
        // Equal, or the left one where there is no right one.
        (Kind::Inner | Kind::Left, Some(left), Some(right)) => Some(&left | &right),
        (Kind::Inner | Kind::Left | Kind::Half, Some(left), _) => Some(left),
        (Kind::Inner, None, Some(right)) => Some(right),
        (Kind::Right | Kind::Full, Some(left), Some(right)) if standard => Some(&left | &right),
        _ => None,
    }
}
