//! One SELECT: its grouping, its DISTINCT, and the columns that it returns.

use std::collections::BTreeSet;

use sqlparser::ast::{
    Distinct, ExcludeSelectItem, Expr, Function, GroupByExpr, Ident, ObjectName, ObjectNamePart,
    RenameSelectItem, Select, SelectFlavor, SelectItem, SelectItemQualifiedWildcardKind, Value,
    WildcardAdditionalOptions,
};

use super::checks::aggregate;
use super::columns::{Found, Name, Rows, Slot, find, fold, has_key, keys, unknown};
use super::scope::Scope;
use super::{Entangled, Walk, Within, entangled};

/// Refuses clauses of other databases and those that are not understood.
pub(in crate::sql) fn refuse_clauses(select: &Select) -> Result<(), Entangled> {
    let modifiers = select.select_modifiers.as_ref();
    if modifiers.is_some_and(|modifiers| modifiers.is_any_set())
        || select.exclude.is_some()
        || select.into.is_some()
        || !select.lateral_views.is_empty()
        || select.prewhere.is_some()
        || !select.connect_by.is_empty()
        || !select.cluster_by.is_empty()
        || !select.distribute_by.is_empty()
        || !select.sort_by.is_empty()
        || select.value_table_mode.is_some()
    {
        return Err(entangled("a clause of a select is not understood"));
    }
    Ok(())
}

impl Walk<'_> {
    /// The rows of a SELECT.
    pub(super) fn select(&self, select: &Select, within: Within<'_>) -> Result<Rows, Entangled> {
        refuse_clauses(select)?;
        let mut scope = self.from(&select.from, within)?;
        scope.shadowed = self.shadowed(select, &scope);
        if let Some(condition) = &select.selection {
            scope.assume(self.dialect, condition);
        }
        scope.same_partition()?;
        let windows = select.named_window.as_slice();
        self.check(&select.selection, &scope, windows, within)?;
        self.check(&select.projection, &scope, windows, within)?;
        self.check(&select.group_by, &scope, windows, within)?;
        self.check(&select.having, &scope, windows, within)?;
        self.check(&select.qualify, &scope, windows, within)?;
        self.check(&select.distinct, &scope, windows, within)?;
        self.check(&select.top, &scope, windows, within)?;
        // Windows are judged where they are used; here for what their definitions may hide.
        self.check(&select.named_window, &scope, windows, within)?;
        let columns = self.project(select, &scope)?;
        let daily = scope.daily();
        if daily {
            if select.top.is_some() {
                return Err(entangled("a limit counts the rows of all partitions"));
            }
            self.check_grouping(select, &scope, &columns)?;
            self.check_distinct(select, &scope, &columns)?;
            if keys(&columns).is_empty() {
                return Err(entangled(format!(
                    "a select does not certainly return `{}`",
                    scope.key_name()
                )));
            }
        }
        Ok(Rows { daily, columns })
    }

    /// The names that a SELECT gives to anything but the partition.
    pub(super) fn shadowed(&self, select: &Select, scope: &Scope) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for item in &select.projection {
            let options = match item {
                SelectItem::ExprWithAlias { expr, alias } => {
                    if !scope.is_key(self.dialect, expr) {
                        names.insert(fold(self.dialect, alias));
                    }
                    continue;
                }
                SelectItem::UnnamedExpr(expr) => {
                    if let Name::Known(name) = self.name_of(expr)
                        && !scope.is_key(self.dialect, expr)
                    {
                        names.insert(name);
                    }
                    continue;
                }
                SelectItem::ExprWithAliases { aliases, .. } => {
                    names.extend(aliases.iter().map(|alias| fold(self.dialect, alias)));
                    continue;
                }
                SelectItem::Wildcard(options) | SelectItem::QualifiedWildcard(_, options) => {
                    options
                }
            };
            let replaced = options.opt_replace.iter().flat_map(|list| &list.items);
            names.extend(replaced.map(|item| fold(self.dialect, &item.column_name)));
            let renamed = self.renamed(options);
            names.extend(renamed.into_iter().map(|(_, new)| new));
        }
        names
    }

    /// The old and the new names of a `*` with RENAME.
    fn renamed(&self, options: &WildcardAdditionalOptions) -> Vec<(String, String)> {
        let items = match &options.opt_rename {
            Some(RenameSelectItem::Single(item)) => std::slice::from_ref(item),
            Some(RenameSelectItem::Multiple(items)) => items.as_slice(),
            None => &[],
        };
        let fold = |name: &Ident| fold(self.dialect, name);
        items
            .iter()
            .map(|item| (fold(&item.ident), fold(&item.alias)))
            .collect()
    }

    fn check_grouping(
        &self,
        select: &Select,
        scope: &Scope,
        columns: &[Slot],
    ) -> Result<(), Entangled> {
        let refused = || {
            Err(entangled(format!(
                "a group is not keyed by `{}`",
                scope.key_name()
            )))
        };
        match &select.group_by {
            GroupByExpr::All(modifiers) if modifiers.is_empty() => {
                if has_key(columns) {
                    Ok(())
                } else {
                    refused()
                }
            }
            GroupByExpr::Expressions(list, modifiers) if modifiers.is_empty() => {
                if list.is_empty() {
                    let found = aggregate(&select.projection).or(aggregate(&select.qualify));
                    return match found {
                        Some(name) => Err(entangled(format!(
                            "`{name}` is taken over the rows of all partitions"
                        ))),
                        None if select.having.is_some() => refused(),
                        None => Ok(()),
                    };
                }
                if list.iter().any(is_several_groupings) {
                    return Err(entangled(
                        "grouping sets, rollup and cube also group without the partition",
                    ));
                }
                let keyed = |expr: &Expr| {
                    scope.is_key(self.dialect, expr)
                        || self.ordinal(select, expr, scope)
                        || self.alias(select, expr, scope)
                };
                if list.iter().any(keyed) {
                    Ok(())
                } else {
                    refused()
                }
            }
            _ => Err(entangled(
                "grouping sets, rollup and cube also group without the partition",
            )),
        }
    }

    fn check_distinct(
        &self,
        select: &Select,
        scope: &Scope,
        columns: &[Slot],
    ) -> Result<(), Entangled> {
        let keyed = match &select.distinct {
            None | Some(Distinct::All) => true,
            Some(Distinct::Distinct) => has_key(columns),
            Some(Distinct::On(list)) => {
                let keyed = |expr: &Expr| self.is_distinct_key(expr, scope, columns);
                list.iter().any(keyed)
            }
        };
        if keyed {
            Ok(())
        } else {
            Err(entangled(format!(
                "a distinct is not keyed by `{}`",
                scope.key_name()
            )))
        }
    }

    /// Tells whether a part of DISTINCT ON is a key: a name means a returned column first.
    fn is_distinct_key(&self, expr: &Expr, scope: &Scope, columns: &[Slot]) -> bool {
        match expr {
            Expr::Nested(inner) => self.is_distinct_key(inner, scope, columns),
            Expr::Identifier(name) => match find(columns, &fold(self.dialect, name)) {
                Found::Key => true,
                Found::Absent => scope.is_key(self.dialect, expr),
                Found::Other | Found::Unknown => false,
            },
            _ => scope.is_key(self.dialect, expr),
        }
    }

    /// Tells whether an expression is the number of a selected key.
    fn ordinal(&self, select: &Select, expr: &Expr, scope: &Scope) -> bool {
        let Expr::Value(value) = expr else {
            return false;
        };
        let Value::Number(number, _) = &value.value else {
            return false;
        };
        let Some(place) = number.parse::<usize>().ok().and_then(|n| n.checked_sub(1)) else {
            return false;
        };
        let items = select.projection.get(..=place).unwrap_or_default();
        let single = |item: &SelectItem| match item {
            SelectItem::ExprWithAlias { expr, .. } | SelectItem::UnnamedExpr(expr) => {
                !is_many_columns(expr)
            }
            _ => false,
        };
        items.iter().all(single)
            && matches!(
                items.last(),
                Some(SelectItem::ExprWithAlias { expr, .. } | SelectItem::UnnamedExpr(expr))
                    if scope.is_key(self.dialect, expr)
            )
    }

    /// Tells whether an expression is the name that the SELECT gives to a key.
    ///
    /// Where a column has that name as well, the database groups by the column and then refuses
    /// the key, by which it does not group.
    fn alias(&self, select: &Select, expr: &Expr, scope: &Scope) -> bool {
        let Expr::Identifier(name) = expr else {
            return false;
        };
        let name = fold(self.dialect, name);
        let mut found = select.projection.iter().filter_map(|item| match item {
            SelectItem::ExprWithAlias { expr, alias } if fold(self.dialect, alias) == name => {
                Some(expr)
            }
            _ => None,
        });
        match (found.next(), found.next()) {
            (Some(expr), None) => scope.is_key(self.dialect, expr),
            _ => false,
        }
    }

    /// The columns that a SELECT returns.
    fn project(&self, select: &Select, scope: &Scope) -> Result<Vec<Slot>, Entangled> {
        let mut columns = Vec::new();
        if select.projection.is_empty() && select.flavor == SelectFlavor::FromFirstNoSelect {
            return Ok(self.star(scope));
        }
        for item in &select.projection {
            match item {
                SelectItem::UnnamedExpr(expr) if is_many_columns(expr) => columns.push(unknown()),
                SelectItem::UnnamedExpr(expr) => columns.push(Slot::Column {
                    name: self.name_of(expr),
                    key: scope.is_key(self.dialect, expr),
                }),
                SelectItem::ExprWithAlias { expr, .. } if is_many_columns(expr) => {
                    columns.push(unknown());
                }
                SelectItem::ExprWithAlias { expr, alias } => columns.push(Slot::Column {
                    name: Name::Known(fold(self.dialect, alias)),
                    key: scope.is_key(self.dialect, expr),
                }),
                SelectItem::ExprWithAliases { .. } => {
                    return Err(entangled("a clause of a select is not understood"));
                }
                SelectItem::Wildcard(options) => {
                    columns.extend(self.changed(self.star(scope), options, scope)?);
                }
                SelectItem::QualifiedWildcard(kind, options) => {
                    let of_source = match kind {
                        SelectItemQualifiedWildcardKind::ObjectName(name) => {
                            last(name, self).filter(|_| name.0.len() == 1)
                        }
                        SelectItemQualifiedWildcardKind::Expr(_) => None,
                    };
                    let slots = match of_source.and_then(|alias| scope.place_of(&alias)) {
                        Some(place) => present(scope, place),
                        None => vec![unknown()],
                    };
                    columns.extend(self.changed(slots, options, scope)?);
                }
            }
        }
        Ok(columns)
    }

    /// The name that the database gives to an expression.
    fn name_of(&self, expr: &Expr) -> Name {
        match expr {
            Expr::Nested(inner) => self.name_of(inner),
            Expr::Identifier(name) => Name::Known(fold(self.dialect, name)),
            Expr::CompoundIdentifier(parts) if !parts.is_empty() => {
                Name::Known(fold(self.dialect, &parts[parts.len() - 1]))
            }
            other => Name::From(other.to_string().to_ascii_lowercase()),
        }
    }

    /// The columns of `*`.
    fn star(&self, scope: &Scope) -> Vec<Slot> {
        let all = || (0..scope.sources.len()).flat_map(|place| present(scope, place));
        if scope.merged.is_empty() {
            return all().collect();
        }
        // Databases differ in where merged columns stand.
        let mut names = BTreeSet::new();
        for (name, refs) in &scope.merged {
            if refs.as_ref().is_some_and(|refs| scope.is_present(refs)) {
                names.insert(name.clone());
            }
        }
        let all: Vec<Slot> = all().collect();
        let merged = |name: &String| scope.merged.iter().any(|(merged, _)| merged == name);
        names.extend(keys(&all).into_iter().filter(|name| !merged(name)));
        vec![Slot::Others {
            keys: names,
            lacks: BTreeSet::new(),
            origin: None,
        }]
    }

    /// What EXCLUDE, REPLACE and RENAME leave of the columns of a `*`.
    fn changed(
        &self,
        mut slots: Vec<Slot>,
        options: &WildcardAdditionalOptions,
        scope: &Scope,
    ) -> Result<Vec<Slot>, Entangled> {
        if options.opt_ilike.is_some() || options.opt_alias.is_some() {
            return Err(entangled("a `*` with a pattern is not understood"));
        }
        let mut gone: Vec<String> = Vec::new();
        match &options.opt_exclude {
            Some(ExcludeSelectItem::Single(name)) => gone.extend(last(name, self)),
            Some(ExcludeSelectItem::Multiple(names)) => {
                gone.extend(names.iter().filter_map(|name| last(name, self)));
            }
            None => {}
        }
        if let Some(except) = &options.opt_except {
            let names = std::iter::once(&except.first_element).chain(&except.additional_elements);
            gone.extend(names.map(|name| fold(self.dialect, name)));
        }
        for name in &gone {
            slots = slots
                .into_iter()
                .filter_map(|slot| without(slot, name))
                .collect();
        }
        for item in options.opt_replace.iter().flat_map(|list| &list.items) {
            let name = fold(self.dialect, &item.column_name);
            let is_key = scope.is_key(self.dialect, &item.expr);
            for slot in &mut slots {
                match slot {
                    Slot::Column {
                        name: Name::Known(own),
                        key,
                    } => *key = if *own == name { is_key } else { *key },
                    Slot::Column { key, .. } => *key = false,
                    Slot::Others { keys, .. } if !is_key => drop(keys.remove(&name)),
                    Slot::Others { .. } => {}
                }
            }
        }
        let renamed = self.renamed(options);
        if !renamed.is_empty() {
            slots = slots
                .into_iter()
                .map(|slot| rename(slot, &renamed))
                .collect();
        }
        Ok(slots)
    }
}

/// The columns of a source; its keys only where they are never null.
fn present(scope: &Scope, place: usize) -> Vec<Slot> {
    let source = &scope.sources[place].columns;
    let is_present = |name: &String| {
        find(source, name) == Found::Key
            && scope.is_present(&BTreeSet::from([(place, name.clone())]))
    };
    let mut slots = source.clone();
    for slot in &mut slots {
        match slot {
            Slot::Column {
                name: Name::Known(name),
                key,
            } => *key = *key && is_present(name),
            Slot::Column { key, .. } => *key = false,
            Slot::Others { keys, .. } => keys.retain(is_present),
        }
    }
    slots
}

/// A column without one name.
fn without(slot: Slot, gone: &str) -> Option<Slot> {
    match slot {
        Slot::Column {
            name: Name::Known(name),
            ..
        } if name == gone => None,
        Slot::Column {
            name: Name::From(_),
            ..
        } => Some(unknown()),
        Slot::Column { .. } => Some(slot),
        Slot::Others {
            mut keys,
            mut lacks,
            origin,
        } => {
            keys.remove(gone);
            lacks.insert(gone.to_owned());
            Some(Slot::Others {
                keys,
                lacks,
                origin: origin.map(|origin| format!("{origin}\0{gone}")),
            })
        }
    }
}

/// A column with its new name.
fn rename(slot: Slot, renamed: &[(String, String)]) -> Slot {
    match slot {
        Slot::Column {
            name: Name::Known(name),
            key,
        } => {
            let new = renamed.iter().find(|(old, _)| *old == name);
            Slot::Column {
                name: Name::Known(new.map_or(name, |(_, new)| new.clone())),
                key,
            }
        }
        Slot::Column { name, .. } => Slot::Column { name, key: false },
        Slot::Others {
            keys,
            lacks,
            origin,
        } => {
            let is_new = |name: &String| renamed.iter().any(|(_, new)| new == name);
            let new_name = |name: &String| match renamed.iter().find(|(old, _)| old == name) {
                Some((_, new)) => Some(new.clone()),
                // Another column may have got the name.
                None => (!is_new(name)).then(|| name.clone()),
            };
            Slot::Others {
                keys: keys.iter().filter_map(new_name).collect(),
                lacks: lacks.into_iter().filter(|name| !is_new(name)).collect(),
                origin,
            }
        }
    }
}

/// The last part of a name.
fn last(name: &ObjectName, walk: &Walk<'_>) -> Option<String> {
    match name.0.last() {
        Some(ObjectNamePart::Identifier(name)) => Some(fold(walk.dialect, name)),
        _ => None,
    }
}

/// Tells whether a selected expression may become several columns.
fn is_many_columns(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(inner) => is_many_columns(inner),
        Expr::Function(function) => called(function, &["unnest", "columns"]),
        Expr::Wildcard(_) | Expr::QualifiedWildcard(..) => true,
        _ => false,
    }
}

/// Tells whether a part of GROUP BY stands for several groupings.
fn is_several_groupings(expr: &Expr) -> bool {
    match expr {
        Expr::GroupingSets(_) | Expr::Cube(_) | Expr::Rollup(_) => true,
        Expr::Nested(inner) => is_several_groupings(inner),
        Expr::Tuple(parts) => parts.is_empty() || parts.iter().any(is_several_groupings),
        Expr::Function(function) => called(function, &["rollup", "cube", "sets"]),
        _ => false,
    }
}

fn called(function: &Function, names: &[&str]) -> bool {
    let name = function.name.to_string().to_ascii_lowercase();
    names.contains(&name.rsplit('.').next().unwrap_or_default())
}
