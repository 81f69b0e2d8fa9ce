//! How many statements a run may have under way: its threads, counted.
//!
//! A worker takes a slot for a step; a microbatch model takes further ones for its batches while
//! some are free, and never waits for one, so that nothing can wait in a circle.

use std::sync::{Condvar, Mutex, PoisonError};

/// The slots of a run.
pub struct Slots {
    free: Mutex<usize>,
    returned: Condvar,
}

/// A slot that is taken until it is dropped.
pub struct Slot<'a>(&'a Slots);

impl Slots {
    /// So many slots, at least one.
    pub fn new(count: usize) -> Slots {
        Slots {
            free: Mutex::new(count.max(1)),
            returned: Condvar::new(),
        }
    }

    /// Takes a slot, waiting for one.
    pub fn take(&self) -> Slot<'_> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = self
            .returned
            .wait_while(free, |free| *free == 0)
            .unwrap_or_else(PoisonError::into_inner);
        *free -= 1;
        Slot(self)
    }

    /// Takes a slot if one is free.
    pub fn try_take(&self) -> Option<Slot<'_>> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        *free = free.checked_sub(1)?;
        Some(Slot(self))
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let mut free = self.0.free.lock().unwrap_or_else(PoisonError::into_inner);
        *free += 1;
        self.0.returned.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_counted_and_given_back() {
        let slots = Slots::new(2);
        let first = slots.take();
        let second = slots.try_take();
        assert!(second.is_some() && slots.try_take().is_none());
        drop(first);
        assert!(slots.try_take().is_some());
        std::thread::scope(|threads| {
            let third = slots.take();
            let waiting = threads.spawn(|| drop(slots.take()));
            drop(third);
            waiting.join().expect("it gets the slot");
        });
        drop(second);
    }
}
