//! Runs tasks of a graph on threads: each as soon as what it needs is done, never more at a time than allowed.
//!
//! Knows nothing of builds. The first error raises the cancel flag, waits for what still runs, and is returned; what
//! never began is not run. See `build.rs` for what the tasks are.

use std::collections::BTreeSet;
use std::sync::mpsc;
use std::thread::Builder;

use crate::cancel::Cancel;
use crate::error::Error;

/// A graph of `needs.len()` tasks: `needs[i]` must be done before `i` runs.
#[derive(Debug)]
pub(crate) struct Graph {
    pub(crate) needs: Vec<BTreeSet<usize>>,
}

/// Runs every task of `graph` with at most `at_once` threads.
pub(crate) fn run<F>(graph: &Graph, at_once: usize, cancel: &Cancel, task: F) -> Result<(), Error>
where
    F: Fn(usize) -> Result<(), Error> + Sync,
{
    let mut missing: Vec<usize> = graph.needs.iter().map(BTreeSet::len).collect();
    let mut dependents = vec![Vec::new(); graph.needs.len()];
    for (id, needs) in graph.needs.iter().enumerate() {
        for need in needs {
            dependents[*need].push(id);
        }
    }
    let mut ready: BTreeSet<usize> = (0..missing.len()).filter(|id| missing[*id] == 0).collect();
    let mut first_error = None;
    let mut running = 0;
    let (sender, receiver) = mpsc::channel();
    std::thread::scope(|scope| {
        loop {
            while running < at_once.max(1) && first_error.is_none() && !cancel.is_raised() {
                let Some(id) = ready.pop_first() else { break };
                let (sender, task) = (sender.clone(), &task);
                let started = Builder::new().spawn_scoped(scope, move || {
                    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| task(id)));
                    // The receiver lives until every running task has reported.
                    let _ = sender.send((id, result));
                });
                match started {
                    Ok(_) => running += 1,
                    Err(error) => {
                        cancel.raise();
                        first_error = Some(Error::io("start", "a thread")(error));
                    }
                }
            }
            if running == 0 {
                break;
            }
            let Ok((id, result)) = receiver.recv() else { break };
            running -= 1;
            match result {
                Ok(Ok(())) => {
                    for dependent in &dependents[id] {
                        missing[*dependent] -= 1;
                        if missing[*dependent] == 0 {
                            ready.insert(*dependent);
                        }
                    }
                }
                Ok(Err(error)) => {
                    cancel.raise();
                    // What fails because it was canceled must not hide what failed first.
                    if first_error.as_ref().is_none_or(|e| matches!(e, Error::Canceled)) {
                        first_error = Some(error);
                    }
                }
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    match first_error {
        Some(error) => Err(error),
        None if cancel.is_raised() => Err(Error::Canceled),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn graph(needs: &[&[usize]]) -> Graph {
        Graph { needs: needs.iter().map(|n| n.iter().copied().collect()).collect() }
    }

    #[test]
    fn order_and_bound_are_kept() {
        let (done, now, most) = (Mutex::new(Vec::new()), AtomicUsize::new(0), AtomicUsize::new(0));
        let diamond = graph(&[&[], &[0], &[0], &[0], &[1, 2, 3]]);
        run(&diamond, 2, &Cancel::new(), |id| {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            std::thread::sleep(std::time::Duration::from_millis(2));
            now.fetch_sub(1, Ordering::SeqCst);
            done.lock().unwrap().push(id);
            Ok(())
        })
        .unwrap();
        let done = done.into_inner().unwrap();
        assert_eq!((done[0], done[4], done.len()), (0, 4, 5));
        assert_eq!(most.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn first_real_error_wins_and_nothing_new_starts() {
        let ran = Mutex::new(Vec::new());
        let cancel = Cancel::new();
        let error = run(&graph(&[&[], &[0], &[1]]), 4, &cancel, |id| {
            ran.lock().unwrap().push(id);
            if id == 1 { Err(Error::NoSuchImage("x".into())) } else { Ok(()) }
        })
        .unwrap_err();
        assert!(matches!(error, Error::NoSuchImage(_)));
        assert_eq!(ran.into_inner().unwrap(), [0, 1]);
        assert!(cancel.is_raised());
    }
}
