//! Giving up early: one flag for the whole build, and the processes that have to end when it is raised.
//!
//! Raised by the program on SIGINT and SIGTERM, and by the scheduler when a step fails. Whoever waits in a loop asks
//! [`Cancel::is_raised`]; whoever waits for a process registers it with [`Cancel::guard`].

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A shared flag with the things to stop.
#[derive(Clone, Default)]
pub struct Cancel {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    raised: Arc<AtomicBool>,
    stoppers: Mutex<Stoppers>,
}

#[derive(Default)]
struct Stoppers {
    next: u64,
    running: BTreeMap<u64, Box<dyn Fn() + Send>>,
}

impl std::fmt::Debug for Cancel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cancel").field("raised", &self.is_raised()).finish_non_exhaustive()
    }
}

impl Cancel {
    /// A flag that is not raised.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether everybody should stop.
    pub fn is_raised(&self) -> bool {
        self.inner.raised.load(Ordering::SeqCst)
    }

    /// The bare flag, for code that knows nothing of builds.
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.inner.raised)
    }

    /// Raises the flag and stops every registered process.
    pub fn raise(&self) {
        self.inner.raised.store(true, Ordering::SeqCst);
        let stoppers = self.inner.stoppers.lock().unwrap_or_else(PoisonError::into_inner);
        for stop in stoppers.running.values() {
            stop();
        }
    }

    /// Registers `stop`, to be called if the flag is raised while the guard lives. If it is raised already, `stop` is
    /// called at once.
    pub fn guard(&self, stop: impl Fn() + Send + 'static) -> Guard {
        let mut stoppers = self.inner.stoppers.lock().unwrap_or_else(PoisonError::into_inner);
        let id = stoppers.next;
        stoppers.next += 1;
        if self.is_raised() {
            stop();
        }
        stoppers.running.insert(id, Box::new(stop));
        Guard { inner: Arc::clone(&self.inner), id }
    }
}

/// Keeps a registration alive.
pub struct Guard {
    inner: Arc<Inner>,
    id: u64,
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut stoppers = self.inner.stoppers.lock().unwrap_or_else(PoisonError::into_inner);
        stoppers.running.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn stops_what_runs_and_what_comes_late() {
        let cancel = Cancel::new();
        let count = Arc::new(AtomicUsize::new(0));
        let counter = |count: &Arc<AtomicUsize>| {
            let count = Arc::clone(count);
            move || {
                count.fetch_add(1, Ordering::SeqCst);
            }
        };
        let running = cancel.guard(counter(&count));
        drop(cancel.guard(counter(&count)));
        cancel.raise();
        assert_eq!(count.load(Ordering::SeqCst), 1, "only what still runs is stopped");
        let _late = cancel.guard(counter(&count));
        assert_eq!(count.load(Ordering::SeqCst), 2);
        drop(running);
    }
}
