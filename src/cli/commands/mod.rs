//! The commands, a file each: a command's file holds what only it does.

pub mod adopt;
pub mod clean;
pub mod compile;
pub mod debug;
pub mod init;
pub mod ls;
pub mod parse;
pub mod partitions;
pub mod plan;
pub mod run_operation;
pub mod show;
pub mod why;
pub mod work;

use std::sync::atomic::AtomicBool;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};

use super::settings::Settings;
use crate::adapter::{self, Adapter};
use crate::diagnostic::{Code, Diagnostic};
use crate::executor::RelationCache;
use crate::executor::event::Event;
use crate::executor::session::SessionShared;

/// How a command ended, as the exit code says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All well: 0.
    Success,
    /// A node failed: 1.
    Failed,
}

/// What a command is given.
pub struct Invocation {
    /// What the user asked for.
    pub settings: Settings,
    /// Where everything that is printed goes.
    pub events: Sender<Event>,
}

/// A command's end: how it went, or what is wrong with the user's input (exit code 2).
pub type CommandResult = Result<Outcome, Vec<Diagnostic>>;

impl Invocation {
    /// Sends an event to the reporter.
    pub fn report(&self, event: Event) {
        // The reporter outlives every command; without it there is nobody to tell.
        let _ = self.events.send(event);
    }

    /// What the sessions of a run share.
    ///
    /// # Errors
    /// A profile that the driver does not understand.
    pub fn sessions(
        &self,
        parsed: &super::pipeline::Parsed,
    ) -> Result<Arc<SessionShared>, Vec<Diagnostic>> {
        for field in adapter::unused_fields(&parsed.target) {
            let message = format!("the profile's field `{field}` is not used");
            let mut warning = Diagnostic::warning(Code::UnknownKey, message);
            if let Some(span) = &parsed.target.span {
                warning = warning.at(span.clone());
            }
            self.report(Event::Diagnostic(Arc::new(warning)));
        }
        let adapter = adapter::open(&parsed.target, &parsed.project.root)
            .map_err(|diagnostic| vec![*diagnostic])?;
        Ok(self.shared(adapter))
    }

    /// The same for a command that only looks: it makes no database and changes none.
    ///
    /// # Errors
    /// As [`Invocation::sessions`].
    pub fn sessions_to_look(
        &self,
        parsed: &super::pipeline::Parsed,
    ) -> Result<Arc<SessionShared>, Vec<Diagnostic>> {
        let root = &parsed.project.root;
        let adapter = adapter::open_for(&parsed.target, root, adapter::Access::Reading)
            .map_err(|diagnostic| vec![*diagnostic])?;
        Ok(self.shared(adapter))
    }

    fn shared(&self, adapter: Arc<dyn Adapter>) -> Arc<SessionShared> {
        Arc::new(SessionShared {
            adapter,
            cache: Arc::new(RelationCache::default()),
            events: self.events.clone(),
            cancellers: Mutex::default(),
            stopping: AtomicBool::new(false),
            winding_up: AtomicBool::new(false),
        })
    }
}
