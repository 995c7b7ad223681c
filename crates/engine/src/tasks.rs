//! Rows of the progress view: gives each piece of work an id and tells the sink when it starts and ends.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use jettison_oci::Digest;

use crate::error::Error;
use crate::event::{Event, Sink, TaskId};

/// Hands out ids and counts what ran.
pub(crate) struct Tasks<'a> {
    pub(crate) sink: &'a dyn Sink,
    next: AtomicUsize,
    run: AtomicUsize,
    cached: AtomicUsize,
}

impl std::fmt::Debug for Tasks<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tasks").field("next", &self.next).finish_non_exhaustive()
    }
}

/// What became of a task that ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    Ran,
    Cached,
}

impl<'a> Tasks<'a> {
    pub(crate) fn new(sink: &'a dyn Sink) -> Self {
        Self { sink, next: AtomicUsize::new(0), run: AtomicUsize::new(0), cached: AtomicUsize::new(0) }
    }

    /// Announces the tasks of a plan; their ids are their positions.
    pub(crate) fn plan(&self, names: Vec<String>) {
        self.next.store(names.len(), Ordering::SeqCst);
        self.sink.emit(Event::Planned { tasks: names });
    }

    /// Announces one more task.
    pub(crate) fn add(&self, name: String) -> TaskId {
        let task = self.next.fetch_add(1, Ordering::SeqCst);
        self.sink.emit(Event::TaskAdded { task, name });
        task
    }

    /// Runs `work` as `task`.
    pub(crate) fn run<T>(
        &self,
        task: TaskId,
        work: impl FnOnce() -> Result<(T, Done), Error>,
    ) -> Result<T, Error> {
        let start = Instant::now();
        self.sink.emit(Event::Started { task });
        match work() {
            Ok((value, done)) => {
                self.sink.emit(Event::Finished {
                    task,
                    elapsed: start.elapsed(),
                    cached: done == Done::Cached,
                });
                Ok(value)
            }
            Err(Error::Canceled) => {
                self.sink.emit(Event::Canceled { task });
                Err(Error::Canceled)
            }
            Err(error) => {
                self.sink.emit(Event::Failed { task, elapsed: start.elapsed() });
                Err(error)
            }
        }
    }

    /// Reports a task as answered by the cache, without work.
    pub(crate) fn cached(&self, task: TaskId) {
        self.cached.fetch_add(1, Ordering::SeqCst);
        self.sink.emit(Event::Started { task });
        self.sink.emit(Event::Finished { task, elapsed: std::time::Duration::ZERO, cached: true });
    }

    /// Counts a step of the plan.
    pub(crate) fn count(&self, done: Done) {
        match done {
            Done::Ran => self.run.fetch_add(1, Ordering::SeqCst),
            Done::Cached => self.cached.fetch_add(1, Ordering::SeqCst),
        };
    }

    /// Steps that ran, and steps that the cache answered.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.run.load(Ordering::SeqCst), self.cached.load(Ordering::SeqCst))
    }

    /// A progress callback for the transfers of `task`.
    pub(crate) fn progress(&self, task: TaskId) -> impl Fn(&Digest, u64, u64) + Sync + '_ {
        move |digest, done_bytes, total_bytes| {
            self.sink.emit(Event::Transfer {
                task,
                digest: digest.clone(),
                done_bytes,
                total_bytes: Some(total_bytes),
            });
        }
    }
}
