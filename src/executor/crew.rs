//! The workers of a run: which are free, and whether one more turn may begin.
//!
//! An embedded database computes on the same processors as the workers do, so more short turns at once
//! than there are processors only get in each other's way: with twice as many, views and small tests
//! cost a twelfth more. A turn that lasts may be waiting for a disk or a store, so it soon counts no
//! more, and the run has as many under way as it has threads.

use std::time::{Duration, Instant};

/// How long a turn counts as a short one, unless it ends sooner.
const SHORT: Duration = Duration::from_millis(10);

/// The workers of a run.
pub struct Crew {
    free: Vec<usize>,
    /// When the turns under way began, by worker.
    begun: Vec<Option<Instant>>,
    /// How many short turns may be under way.
    limit: usize,
}

impl Crew {
    /// So many workers, all of them free.
    ///
    /// `limit` is how many short turns may be under way at once; `None` where all workers may have one.
    pub fn new(workers: usize, limit: Option<usize>) -> Crew {
        Crew {
            free: (0..workers).rev().collect(),
            begun: vec![None; workers],
            limit: limit.unwrap_or(workers).max(1),
        }
    }

    /// A worker that may begin a turn.
    pub fn next(&self, now: Instant) -> Option<usize> {
        let worker = self.free.last().copied()?;
        (self.short(now).count() < self.limit).then_some(worker)
    }

    /// Says that a worker begins a turn.
    pub fn begins(&mut self, worker: usize, now: Instant) {
        self.free.retain(|free| *free != worker);
        self.begun[worker] = Some(now);
    }

    /// Says that its turn has ended.
    pub fn ends(&mut self, worker: usize) {
        self.begun[worker] = None;
        self.free.push(worker);
    }

    /// How long it takes until one more turn may begin though none has ended; `None` where only an end
    /// makes a difference.
    pub fn patience(&self, now: Instant) -> Option<Duration> {
        if self.free.is_empty() || self.next(now).is_some() {
            return None;
        }
        let oldest = self.short(now).min()?;
        Some(SHORT.saturating_sub(now.saturating_duration_since(oldest)))
    }

    /// When the turns began that count as short.
    fn short(&self, now: Instant) -> impl Iterator<Item = Instant> {
        let begun = self.begun.iter().copied().flatten();
        begun.filter(move |begun| now.saturating_duration_since(*begun) < SHORT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_waits_for_short_ones_and_not_for_one_that_lasts() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let mut crew = Crew::new(3, Some(1));
        assert_eq!(crew.patience(at(0)), None);
        assert_eq!(crew.next(at(0)), Some(0));
        crew.begins(0, at(0));
        assert_eq!(crew.next(at(4)), None);
        assert_eq!(crew.patience(at(4)), Some(Duration::from_millis(6)));
        assert_eq!(crew.next(at(10)), Some(1), "the first lasts");
        crew.begins(1, at(10));
        assert_eq!(crew.next(at(12)), None);
        crew.ends(1);
        assert_eq!(crew.next(at(12)), Some(1), "it was short");
        crew.begins(1, at(12));
        crew.begins(2, at(30));
        assert_eq!(crew.next(at(60)), None, "nobody is free");
        assert_eq!(crew.patience(at(60)), None);
    }

    #[test]
    fn without_a_limit_all_have_a_turn() {
        let now = Instant::now();
        let mut crew = Crew::new(2, None);
        crew.begins(0, now);
        assert_eq!(crew.next(now), Some(1));
        crew.begins(1, now);
        assert_eq!((crew.next(now), crew.patience(now)), (None, None));
        crew.ends(0);
        assert_eq!(crew.next(now), Some(0));
    }
}
