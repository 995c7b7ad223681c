//! Between the engine's events and the terminal: which view to use, and the last line of a build.
//!
//! The views themselves are in the crate `ui`.

use std::io::Write;
use std::sync::Mutex;

use jettison_engine::event::{Event, Sink};
use jettison_engine::{BuildOutcome, BuiltImage};
use jettison_oci::Digest;

use crate::args::Progress;
use crate::failure::Failure;

/// The view of a running build.
#[derive(Debug)]
pub(crate) struct View {
    quiet: bool,
    names: Mutex<Vec<String>>,
}

impl View {
    pub(crate) fn start(mode: Progress, _dockerfile: &str, _source: &str) -> Self {
        Self { quiet: matches!(mode, Progress::Quiet | Progress::None), names: Mutex::default() }
    }

    pub(crate) fn finish(&self, _ok: bool) {}

    pub(crate) fn summary(&self, _outcome: &BuildOutcome, image: &BuiltImage) {
        let smaller = image.largest_stage.as_ref().filter(|(_, bytes)| *bytes > image.uncompressed_bytes);
        let mut line = format!("{} bytes, {}", image.uncompressed_bytes, image.manifest.digest);
        if let Some((name, bytes)) = smaller {
            line.push_str(&format!(
                ", {:.1} times smaller than {name} ({bytes} bytes)",
                *bytes as f64 / image.uncompressed_bytes.max(1) as f64
            ));
        }
        let _ = writeln!(anstream::stderr(), "{line}");
    }
}

impl Sink for View {
    fn emit(&self, event: Event) {
        if self.quiet {
            return;
        }
        let mut names = self.names.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut err = anstream::stderr().lock();
        let name = |task: usize| names.get(task).cloned().unwrap_or_default();
        let _ = match event {
            Event::Planned { tasks } => {
                *names = tasks;
                Ok(())
            }
            Event::TaskAdded { name, .. } => {
                names.push(name);
                Ok(())
            }
            Event::Finished { task, cached: true, .. } => writeln!(err, "#{task} {} CACHED", name(task)),
            Event::Finished { task, elapsed, .. } => {
                writeln!(err, "#{task} {} DONE {:.3}s", name(task), elapsed.as_secs_f64())
            }
            Event::Failed { task, .. } => writeln!(err, "#{task} {} ERROR", name(task)),
            Event::Started { task } => writeln!(err, "#{task} {}", name(task)),
            Event::Output { bytes, .. } => err.write_all(&bytes),
            Event::Notice(text) => writeln!(err, "{text}"),
            Event::Warning(diagnostic) => writeln!(err, "warning: {}", diagnostic.message),
            Event::Transfer { .. } | Event::Canceled { .. } => Ok(()),
        };
    }
}

/// The view of a single transfer.
#[derive(Debug)]
pub(crate) struct Transfers;

impl Transfers {
    pub(crate) fn start(_mode: Progress, _name: &str) -> Self {
        Self
    }

    pub(crate) fn finish<T>(
        self,
        work: impl FnOnce(&(dyn Fn(&Digest, u64, u64) + Sync)) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        work(&|_, _, _| ())
    }
}
