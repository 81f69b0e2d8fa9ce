//! `modules.itertools`: what is finite in Python's module, as lists of tuples.

use minijinja::{Error, State, Value};

use crate::diagnostic::{Code, Diagnostic};
use crate::jinja::context::callable::{Answer, function, given, namespace};
use crate::jinja::language::{bind, items, list, py_str, raise, split_kwargs, tuple};

type Body = fn(&mut State<'_, '_>, &[Value]) -> Answer;

/// `modules.itertools`.
pub(super) fn module() -> Value {
    namespace("itertools", |name| {
        let (name, body): (&'static str, Body) = match name {
            "product" => ("product", product),
            "chain" => return Some(chain()),
            "combinations" => ("combinations", |_, args| {
                chosen("combinations", args, |picked, next| {
                    picked.last().is_none_or(|last| *last < next)
                })
            }),
            "combinations_with_replacement" => ("combinations_with_replacement", |_, args| {
                chosen("combinations_with_replacement", args, |picked, next| {
                    picked.last().is_none_or(|last| *last <= next)
                })
            }),
            "permutations" => ("permutations", |_, args| {
                chosen("permutations", args, |picked, next| !picked.contains(&next))
            }),
            "zip_longest" => ("zip_longest", zip_longest),
            "accumulate" => ("accumulate", accumulate),
            "islice" => ("islice", islice),
            "repeat" => ("repeat", repeat),
            "starmap" => ("starmap", |state, args| {
                let [callee, rows] = bind("starmap", args, ["function", "iterable"], 2)?;
                let callee = callee.unwrap_or_default();
                let rows = items(&rows.unwrap_or_default())?;
                collect(rows.iter().map(|row| callee.call(state, &items(row)?)))
            }),
            "takewhile" => ("takewhile", |state, args| {
                let [test, values] = bind("takewhile", args, ["predicate", "iterable"], 2)?;
                let test = test.unwrap_or_default();
                let mut taken = Vec::new();
                for value in items(&values.unwrap_or_default())? {
                    if !test.call(state, std::slice::from_ref(&value))?.is_true() {
                        break;
                    }
                    taken.push(value);
                }
                Ok(list(taken))
            }),
            "dropwhile" => ("dropwhile", |state, args| {
                let [test, values] = bind("dropwhile", args, ["predicate", "iterable"], 2)?;
                let test = test.unwrap_or_default();
                let mut kept = Vec::new();
                for value in items(&values.unwrap_or_default())? {
                    if !kept.is_empty()
                        || !test.call(state, std::slice::from_ref(&value))?.is_true()
                    {
                        kept.push(value);
                    }
                }
                Ok(list(kept))
            }),
            "filterfalse" => ("filterfalse", |state, args| {
                let [test, values] = bind("filterfalse", args, ["predicate", "iterable"], 2)?;
                let test = test.unwrap_or_default();
                let mut kept = Vec::new();
                for value in items(&values.unwrap_or_default())? {
                    let truth = match test.is_none() {
                        true => value.is_true(),
                        false => test.call(state, std::slice::from_ref(&value))?.is_true(),
                    };
                    if !truth {
                        kept.push(value);
                    }
                }
                Ok(list(kept))
            }),
            "compress" => ("compress", |_, args| {
                let [values, selectors] = bind("compress", args, ["data", "selectors"], 2)?;
                let selectors = items(&selectors.unwrap_or_default())?;
                Ok(list(
                    items(&values.unwrap_or_default())?
                        .into_iter()
                        .zip(selectors)
                        .filter(|(_, selector)| selector.is_true())
                        .map(|(value, _)| value)
                        .collect(),
                ))
            }),
            "pairwise" => ("pairwise", |_, args| {
                let [values] = bind("pairwise", args, ["iterable"], 1)?;
                let values = items(&values.unwrap_or_default())?;
                Ok(list(
                    values.windows(2).map(|pair| tuple(pair.to_vec())).collect(),
                ))
            }),
            "groupby" => ("groupby", groupby),
            "tee" => ("tee", |_, args| {
                let [values, count] = bind("tee", args, ["iterable", "n"], 1)?;
                let values = items(&values.unwrap_or_default())?;
                let count = count.and_then(|count| count.as_usize()).unwrap_or(2);
                Ok(tuple((0..count).map(|_| list(values.clone())).collect()))
            }),
            "count" => ("count", |_, _| Err(endless("count"))),
            "cycle" => ("cycle", |_, _| Err(endless("cycle"))),
            _ => return None,
        };
        Some(function(name, body))
    })
}

fn endless(name: &str) -> Error {
    raise(
        Diagnostic::error(
            Code::Unsupported,
            format!("`itertools.{name}` is not supported: it never ends"),
        )
        .help("walk a `range`"),
    )
}

fn collect(values: impl Iterator<Item = Answer>) -> Answer {
    values.collect::<Result<Vec<_>, _>>().map(list)
}

fn product(_: &mut State<'_, '_>, args: &[Value]) -> Answer {
    let (pools, keywords) = split_kwargs(args);
    let times = keywords
        .iter()
        .find(|(key, _)| key.as_str() == Some("repeat"))
        .and_then(|(_, times)| times.as_usize())
        .unwrap_or(1);
    let pools = pools.iter().map(items).collect::<Result<Vec<_>, _>>()?;
    let mut rows: Vec<Vec<Value>> = vec![Vec::new()];
    for pool in (0..times).flat_map(|_| &pools) {
        rows = rows
            .iter()
            .flat_map(|row| {
                pool.iter().map(|value| {
                    let mut longer = row.clone();
                    longer.push(value.clone());
                    longer
                })
            })
            .collect();
    }
    Ok(list(rows.into_iter().map(tuple).collect()))
}

fn chain() -> Value {
    fn joined(values: &[Value]) -> Answer {
        let mut all = Vec::new();
        for value in values {
            all.extend(items(value)?);
        }
        Ok(list(all))
    }
    crate::jinja::context::callable::class(
        "chain",
        |name| {
            (name == "from_iterable").then(|| {
                function("chain.from_iterable", |_, args| {
                    let [values] = bind("chain.from_iterable", args, ["iterable"], 1)?;
                    joined(&items(&values.unwrap_or_default())?)
                })
            })
        },
        |_, args| joined(args),
    )
}

/// Rows of members chosen by position, in the order of positions.
fn chosen(name: &str, args: &[Value], may_follow: fn(&[usize], usize) -> bool) -> Answer {
    let [values, length] = bind(name, args, ["iterable", "r"], 1)?;
    let values = items(&values.unwrap_or_default())?;
    let length = given(&length)
        .and_then(Value::as_usize)
        .unwrap_or(values.len());
    let mut rows: Vec<Vec<usize>> = vec![Vec::new()];
    for _ in 0..length {
        rows = rows
            .iter()
            .flat_map(|row| {
                (0..values.len())
                    .filter(|&next| may_follow(row, next))
                    .map(|next| {
                        let mut longer = row.clone();
                        longer.push(next);
                        longer
                    })
                    .collect::<Vec<_>>()
            })
            .collect();
    }
    Ok(list(
        rows.into_iter()
            .map(|row| tuple(row.into_iter().map(|at| values[at].clone()).collect()))
            .collect(),
    ))
}

fn zip_longest(_: &mut State<'_, '_>, args: &[Value]) -> Answer {
    let (columns, keywords) = split_kwargs(args);
    let fill = keywords
        .into_iter()
        .find(|(key, _)| key.as_str() == Some("fillvalue"))
        .map_or(Value::from(()), |(_, value)| value);
    let columns = columns.iter().map(items).collect::<Result<Vec<_>, _>>()?;
    let length = columns.iter().map(Vec::len).max().unwrap_or(0);
    let cell = |column: &Vec<Value>, row: usize| column.get(row).unwrap_or(&fill).clone();
    Ok(list(
        (0..length)
            .map(|row| tuple(columns.iter().map(|column| cell(column, row)).collect()))
            .collect(),
    ))
}

fn accumulate(state: &mut State<'_, '_>, args: &[Value]) -> Answer {
    let [values, callee, initial] = bind("accumulate", args, ["iterable", "func", "initial"], 1)?;
    let mut results: Vec<Value> = given(&initial).cloned().into_iter().collect();
    for value in items(&values.unwrap_or_default())? {
        let next = match (results.last(), given(&callee)) {
            (None, _) => value,
            (Some(last), Some(callee)) => callee.call(state, &[last.clone(), value])?,
            (Some(last), None) => match (last.as_i64(), value.as_i64()) {
                (Some(a), Some(b)) if last.is_integer() && value.is_integer() => Value::from(a + b),
                _ => match (f64::try_from(last.clone()), f64::try_from(value.clone())) {
                    (Ok(a), Ok(b)) => Value::from(a + b),
                    _ => Value::from(py_str(last) + &py_str(&value)),
                },
            },
        };
        results.push(next);
    }
    Ok(list(results))
}

fn islice(_: &mut State<'_, '_>, args: &[Value]) -> Answer {
    let [values, first, second, step] =
        bind("islice", args, ["iterable", "start", "stop", "step"], 2)?;
    let number = |value: &Option<Value>| given(value).and_then(Value::as_usize);
    let values = items(&values.unwrap_or_default())?;
    let (start, stop) = match second {
        Some(_) => (number(&first).unwrap_or(0), number(&second)),
        None => (0, number(&first)),
    };
    let stop = stop.unwrap_or(values.len()).min(values.len());
    let step = number(&step).unwrap_or(1).max(1);
    Ok(list(
        (start..stop)
            .step_by(step)
            .map(|at| values[at].clone())
            .collect(),
    ))
}

fn repeat(_: &mut State<'_, '_>, args: &[Value]) -> Answer {
    let [value, times] = bind("repeat", args, ["object", "times"], 1)?;
    match given(&times).and_then(Value::as_usize) {
        Some(times) => Ok(list(vec![value.unwrap_or_default(); times])),
        None => Err(endless("repeat")),
    }
}

fn groupby(state: &mut State<'_, '_>, args: &[Value]) -> Answer {
    let [values, key] = bind("groupby", args, ["iterable", "key"], 1)?;
    let mut groups: Vec<(Value, Vec<Value>)> = Vec::new();
    for value in items(&values.unwrap_or_default())? {
        let name = match given(&key) {
            Some(key) => key.call(state, std::slice::from_ref(&value))?,
            None => value.clone(),
        };
        match groups.last_mut() {
            Some((last, members)) if *last == name => members.push(value),
            _ => groups.push((name, vec![value])),
        }
    }
    Ok(list(
        groups
            .into_iter()
            .map(|(name, members)| tuple(vec![name, list(members)]))
            .collect(),
    ))
}
