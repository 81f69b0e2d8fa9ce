//! The commands, a file each: a command's file holds what only it does.

pub mod adopt;
mod ahead;
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

use ahead::Ahead;

use super::pipeline::{Opened, Parsed};
use super::settings::Settings;
use crate::adapter::{self, Access};
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
    /// The target's database, where it is opened while the project is parsed.
    ahead: Mutex<Option<Ahead>>,
}

/// A command's end: how it went, or what is wrong with the user's input (exit code 2).
pub type CommandResult = Result<Outcome, Vec<Diagnostic>>;

impl Invocation {
    /// Makes one; the other end of `events` is the reporter.
    pub fn new(settings: Settings, events: Sender<Event>) -> Invocation {
        Invocation {
            settings,
            events,
            ahead: Mutex::default(),
        }
    }

    /// Sends an event to the reporter.
    pub fn report(&self, event: Event) {
        // The reporter outlives every command; without it there is nobody to tell.
        let _ = self.events.send(event);
    }

    /// Begins to open the target's database, for a command that will need it once the project is parsed.
    ///
    /// Where there are several connections, its turn may be long in coming, and others may want it.
    pub fn open_ahead(&self, opened: &Opened, access: Access) {
        if !opened.target.connections.is_empty() {
            return;
        }
        *self.lock_ahead() = Ahead::new(&opened.target, &opened.project.root, access);
    }

    /// What the sessions of a run share.
    ///
    /// # Errors
    /// A profile that the driver does not understand.
    pub fn sessions(&self, parsed: &Parsed) -> Result<Arc<SessionShared>, Vec<Diagnostic>> {
        for field in adapter::unused_fields(&parsed.target) {
            let message = format!("the profile's field `{field}` is not used");
            let mut warning = Diagnostic::warning(Code::UnknownKey, message);
            if let Some(span) = &parsed.target.span {
                warning = warning.at(span.clone());
            }
            self.report(Event::Diagnostic(Arc::new(warning)));
        }
        self.shared(parsed, Access::Writing)
    }

    /// The same for a command that only looks: it makes no database and changes none.
    ///
    /// # Errors
    /// As [`Invocation::sessions`].
    pub fn sessions_to_look(&self, parsed: &Parsed) -> Result<Arc<SessionShared>, Vec<Diagnostic>> {
        self.shared(parsed, Access::Reading)
    }

    fn shared(
        &self,
        parsed: &Parsed,
        access: Access,
    ) -> Result<Arc<SessionShared>, Vec<Diagnostic>> {
        let target = &parsed.target;
        let ahead = self
            .lock_ahead()
            .as_mut()
            .and_then(|ahead| ahead.take(target, access));
        let adapter = match ahead {
            Some(adapter) => adapter,
            None => adapter::open_for(target, &parsed.project.root, access)
                .map_err(|diagnostic| vec![*diagnostic])?,
        };
        Ok(Arc::new(SessionShared {
            adapter,
            cache: Arc::new(RelationCache::default()),
            events: self.events.clone(),
            cancellers: Mutex::default(),
            stopping: AtomicBool::new(false),
            winding_up: AtomicBool::new(false),
        }))
    }

    fn lock_ahead(&self) -> std::sync::MutexGuard<'_, Option<Ahead>> {
        self.ahead.lock().expect("no holder of this lock panics")
    }
}
