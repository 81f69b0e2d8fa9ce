//! `parse`: everything that is wrong with the project, or its manifest.

use super::super::pipeline::{self, TemplateFlags};
use super::{CommandResult, Invocation, Outcome};

/// `parse`.
///
/// # Errors
/// Everything that is wrong with the project.
pub fn parse(invocation: &Invocation) -> CommandResult {
    let report = |event| invocation.report(event);
    let parsed = pipeline::parse(&invocation.settings, TemplateFlags::default(), &report)?;
    pipeline::write_manifest(invocation, &parsed)?;
    parsed.leave();
    Ok(Outcome::Success)
}
