//! Signs of life of a run that holds leases, so that a lease is taken over soon from a run that has
//! died, and never from one that takes its time.

use std::io::Write as _;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::Project;
use super::session::Session;
use crate::jinja::Warehouse;
use crate::jinja::port::{Fetch, Transaction};
use crate::ledger::{Ledger, RunFacts};

/// How long a run counts as alive after a sign of life.
const SECONDS: u32 = 30;

/// How many seconds a lease lasts without a sign of life; tests of builds for tests may set them.
pub fn lease_seconds(project: &Project) -> u32 {
    let asked = project.facts.environment.get("DAYGRAIN_TEST_LEASE_SECONDS");
    let asked = asked.filter(|_| cfg!(debug_assertions));
    asked.and_then(|text| text.parse().ok()).unwrap_or(SECONDS)
}

/// Gives signs of life until the other end of `stop` is gone.
pub fn beat(
    session: &Session,
    ledger: &Ledger,
    facts: &RunFacts,
    seconds: u32,
    stop: &Receiver<()>,
) {
    let pause = Duration::from_millis(u64::from(seconds) * 1000 / 4);
    loop {
        // Where one is missed, the next may come in time.
        let sign = ledger.sign_of_life(&facts.run, seconds);
        let _ = session.query(&sign, Transaction::AsIs, Fetch::Nothing);
        match stop.recv_timeout(pause) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    let end = ledger.end_of_life(&facts.run);
    let _ = session.query(&end, Transaction::AsIs, Fetch::Nothing);
}

/// Waits here for a test that ends the process, in builds for tests alone: `DAYGRAIN_TEST_PAUSE` names
/// the place, and `DAYGRAIN_TEST_PAUSE_SECONDS` how long.
pub fn pause(project: &Project, at: &str) {
    let asked = |name: &str| project.facts.environment.get(name);
    if !cfg!(debug_assertions) || asked("DAYGRAIN_TEST_PAUSE").is_none_or(|place| place != at) {
        return;
    }
    let seconds = asked("DAYGRAIN_TEST_PAUSE_SECONDS").and_then(|text| text.parse().ok());
    let _ = writeln!(std::io::stderr(), "paused {at}");
    std::thread::sleep(Duration::from_secs_f64(seconds.unwrap_or(600.0)));
}
