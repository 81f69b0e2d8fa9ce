//! A database that is opened while the project is parsed.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use crate::adapter::{self, Access, Adapter};
use crate::config::profile::Target;

/// A target's database, being opened by a thread of its own.
///
/// Dropping it waits for the thread: a process must not end in the midst of what a database does.
pub(super) struct Ahead {
    target: Arc<Target>,
    access: Access,
    /// Until somebody has taken it.
    adapter: Option<Arc<dyn Adapter>>,
    opening: Option<JoinHandle<()>>,
}

impl Ahead {
    /// Begins; a profile that is wrong is told by who needs the database.
    pub(super) fn new(target: &Arc<Target>, root: &Path, access: Access) -> Option<Ahead> {
        let adapter = adapter::open_for(target, root, access).ok()?;
        let opened = Arc::clone(&adapter);
        let opening = std::thread::Builder::new()
            .name("opening".to_owned())
            .spawn(move || opened.prepare())
            .ok()?;
        Some(Ahead {
            target: Arc::clone(target),
            access,
            adapter: Some(adapter),
            opening: Some(opening),
        })
    }

    /// Gives the adapter to the first who asks for this target with this access.
    pub(super) fn take(
        &mut self,
        target: &Arc<Target>,
        access: Access,
    ) -> Option<Arc<dyn Adapter>> {
        let same = Arc::ptr_eq(&self.target, target) && self.access == access;
        self.adapter.take_if(|_| same)
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        if let Some(opening) = self.opening.take() {
            // A panic of the thread was reported by the hook of the process.
            let _ = opening.join();
        }
    }
}
