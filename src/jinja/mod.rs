//! Jinja as dbt runs it: the only user of minijinja.
//!
//! [`language`] makes minijinja behave like Jinja2 on Python; [`context`] gives templates what dbt
//! gives them. What they may ask of the outside is the [`Warehouse`] and the [`Resolver`].

pub mod builtin;
pub mod context;
pub mod language;
pub mod port;

/// A value of a template.
pub use minijinja::Value;
pub use port::{Fetch, QueryFailure, Reading, RefCall, Resolver, SourceCall, Warehouse};
