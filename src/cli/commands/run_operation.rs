//! `run-operation`: calls one macro.

use std::sync::Arc;

use super::super::args::RunOperationArgs;
use super::super::pipeline::{self, TemplateFlags};
use super::super::settings::yaml_mapping;
use super::{CommandResult, Invocation, Outcome};
use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::executor::event::Event;
use crate::executor::schemas::plain_scope;
use crate::executor::session::Session;
use crate::jinja::Warehouse;
use crate::jinja::language;

/// `run-operation`.
///
/// # Errors
/// A macro that does not exist, arguments that are no mapping.
pub fn run_operation(invocation: &Invocation, args: RunOperationArgs) -> CommandResult {
    let settings = &invocation.settings;
    let report = |event| invocation.report(event);
    let given = yaml_mapping("--args", &args.args).map_err(|wrong| vec![*wrong])?;
    let parsed = pipeline::parse(settings, TemplateFlags::default(), &report)?;
    pipeline::write_manifest(invocation, &parsed)?;
    let project = &parsed.project;
    let root = &project.manifest.project;
    if project.engine.find(root, &args.name).is_none() {
        let message = format!("no macro named `{}`", args.name);
        let mut wrong = Diagnostic::error(Code::UndefinedMacro, message);
        let names = project.engine.macros().iter().map(|found| &*found.name);
        if let Some(near) = nearest(&args.name, names) {
            wrong = wrong.help(format!("a macro named `{near}` exists"));
        }
        return Err(vec![wrong]);
    }
    let shared = invocation.sessions(&parsed)?;
    let session =
        Arc::new(Session::new(shared).map_err(|error| vec![*pipeline::no_session(error)])?);
    session.begin_node(project, None);
    let scope = plain_scope(project, &session, Vec::new());
    let keywords: Vec<_> = given
        .iter()
        .map(|(name, value)| (name.as_str(), language::from_json(value)))
        .collect();
    let called = project
        .engine
        .call(&args.name, &[], &keywords, &scope)
        .and_then(|_| session.commit());
    match called {
        Ok(()) => Ok(Outcome::Success),
        Err(diagnostic) => {
            invocation.report(Event::Diagnostic(Arc::new(*diagnostic)));
            Ok(Outcome::Failed)
        }
    }
}
