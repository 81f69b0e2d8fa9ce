//! Ctrl-C: the first one stops the run in good order, the second one ends the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

use crate::executor::run::Message;
use crate::executor::session::SessionShared;

/// How often the statements in flight are cancelled again, for one may just have started.
const AGAIN: Duration = Duration::from_millis(200);

/// Tells whether the user interrupted the run.
#[derive(Clone, Debug, Default)]
pub struct Watch(Arc<AtomicBool>);

impl Watch {
    /// Tells whether an interrupt has arrived.
    pub fn was_interrupted(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Starts to watch for Ctrl-C and for the system's request to end; both reach the run loop and what
/// comes after it.
///
/// The statements in flight are cancelled from here, for the loop may itself be waiting for one: a
/// look at a schema, or a hook.
pub fn watch(outbox: Sender<Message>, shared: &Arc<SessionShared>) -> Watch {
    let watch = Watch::default();
    let seen = watch.clone();
    // The watcher outlives the run, and must not keep its database open: it is closed in good order.
    let shared = Arc::downgrade(shared);
    // Without a watcher, Ctrl-C ends the process at once, which loses nothing that was committed.
    let _ = std::thread::Builder::new()
        .name("interrupts".to_owned())
        .spawn(move || {
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
            else {
                return;
            };
            runtime.block_on(async {
                signal().await;
                seen.0.store(true, Ordering::Relaxed);
                // The loop may have ended, and its exports not.
                let _ = outbox.send(Message::Interrupt);
                if let Some(shared) = shared.upgrade() {
                    shared.stop();
                }
                let _ = std::thread::Builder::new()
                    .name("cancelling".to_owned())
                    .spawn(move || {
                        loop {
                            std::thread::sleep(AGAIN);
                            match shared.upgrade() {
                                Some(shared) => shared.cancel_all(),
                                None => return,
                            }
                        }
                    });
                signal().await;
                std::process::exit(1);
            });
        });
    watch
}

#[cfg(unix)]
async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
        }
        Err(_) => {
            let _ = tokio::signal::ctrl_c().await;
        }
    }
}

#[cfg(not(unix))]
async fn signal() {
    let _ = tokio::signal::ctrl_c().await;
}
