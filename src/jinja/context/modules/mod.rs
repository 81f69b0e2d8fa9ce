//! `modules`: the parts of Python's library that dbt lends to templates.

pub(super) mod datetime;
mod format;
mod itertools;
mod pytz;
mod re;

use minijinja::Value;

use super::callable::namespace;

/// `modules`.
pub(super) fn object() -> Value {
    namespace("modules", |name| match name {
        "datetime" => Some(datetime::module()),
        "re" => Some(re::module()),
        "itertools" => Some(itertools::module()),
        "pytz" => Some(pytz::module()),
        _ => None,
    })
}
