//! `exceptions`: how macros fail, and how they warn.

use std::sync::Arc;

use minijinja::Value;

use super::callable::{function, namespace, text};
use super::node::Context;
use crate::diagnostic::{Code, Diagnostic};
use crate::jinja::builtin;
use crate::jinja::language::{bind, raise, split_kwargs};
use crate::jinja::port::TemplateMessage;

/// The functions that fail, with the kind of failure.
const RAISING: &[(&str, Code)] = &[
    ("raise_compiler_error", Code::CompilerError),
    ("raise_database_error", Code::Database),
    ("raise_dependency_error", Code::MissingPackage),
    ("raise_invalid_property_yml_version", Code::YamlShape),
    ("raise_duplicate_patch_name", Code::DuplicateName),
    ("raise_duplicate_resource_name", Code::DuplicateName),
    ("raise_duplicate_alias", Code::DuplicateName),
    ("raise_ambiguous_alias", Code::DuplicateName),
    ("raise_ambiguous_catalog_match", Code::DuplicateName),
    ("raise_cache_inconsistent", Code::CompilerError),
    ("raise_dataclass_not_dict", Code::CompilerError),
    ("raise_parsing_error", Code::CompilerError),
    ("raise_fail_fast_error", Code::CompilerError),
    ("raise_contract_error", Code::CompilerError),
    ("missing_config", Code::BadConfig),
    ("missing_materialization", Code::UndefinedMacro),
    ("missing_relation", Code::CompilerError),
    ("relation_wrong_type", Code::CompilerError),
    ("column_type_missing", Code::BadConfig),
    ("raise_not_implemented", Code::Unsupported),
];

/// `exceptions`.
pub(super) fn object(context: &Arc<Context>) -> Value {
    let context = Arc::clone(context);
    namespace("exceptions", move |name| {
        if let Some((name, code)) = RAISING.iter().find(|(known, _)| *known == name) {
            return Some(raising(name, *code));
        }
        if name == "warn" || name == "warn_snapshot_timestamp_data_types" {
            return Some(warn(&context));
        }
        None
    })
}

fn raising(name: &'static str, code: Code) -> Value {
    function(name, move |_, args| {
        let (positional, keywords) = split_kwargs(args);
        let argument = |index: usize, keyword: &str| {
            let by_name = keywords
                .iter()
                .find(|(key, _)| key.as_str() == Some(keyword))
                .map(|(_, value)| value);
            text(positional.get(index).or(by_name)).unwrap_or_default()
        };
        let message = match name {
            "missing_config" => format!("the config `{}` is missing", argument(1, "name")),
            "missing_materialization" => {
                format!("there is no materialization `{}`", argument(0, "model"))
            }
            "missing_relation" => {
                format!("the relation `{}` does not exist", argument(0, "relation"))
            }
            "relation_wrong_type" => format!(
                "`{}` is not a {}, as it should be to be rebuilt; drop it first",
                argument(0, "relation"),
                argument(1, "expected_type")
            ),
            "column_type_missing" => "a contract needs a data type for each column".to_owned(),
            "raise_not_implemented" => {
                let message = argument(0, "msg");
                // What the built-in macros refuse is a thing; packages write whole sentences.
                if message.starts_with(char::is_uppercase) {
                    message
                } else {
                    format!("daygrain does not do {message} yet")
                }
            }
            _ => argument(0, "msg"),
        };
        Err(raise(Diagnostic::error(code, message)))
    })
}

fn warn(context: &Arc<Context>) -> Value {
    let context = Arc::clone(context);
    function("warn", move |state, args| {
        let [message, _] = bind("exceptions.warn", args, ["msg", "node"], 1)?;
        let mut diagnostic = Diagnostic::warning(
            Code::CompilerError,
            text(message.as_ref()).unwrap_or_default(),
        );
        let span = crate::jinja::language::call_span(state);
        if let Some(span) = span.filter(|span| !builtin::is_builtin(&span.file)) {
            diagnostic = diagnostic.at(span);
        }
        context
            .warehouse
            .emit(TemplateMessage::Warning(Box::new(diagnostic)));
        Ok(Value::from(""))
    })
}
