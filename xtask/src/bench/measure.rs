//! Time and memory of one build.
//!
//! Time is what passes on the wall from the start of the first program to the end of the last. Memory is the largest
//! sum, over all processes that belong to the builder (programs that RUN starts and a resident daemon included), of
//! what each has in RAM, looked at every few milliseconds; pages that processes share count for each of them.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::process::{self, Guarded};

/// How often we look: quickly at first, so that short builds are seen at all, then so seldom that it costs nothing.
const LOOK_FIRST: Duration = Duration::from_millis(3);
const LOOK_LATER: Duration = Duration::from_millis(40);

/// What one build took.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// Seconds.
    pub seconds: f64,
    /// Most bytes in RAM.
    pub peak_bytes: u64,
    /// Size of the file that was written, if one was.
    pub archive_bytes: Option<u64>,
}

/// Runs commands one after the other; `resident` are processes that belong to the builder and go on.
pub fn commands(commands: &mut [Command], resident: &[u32]) -> Result<Measured> {
    let mut peak_bytes = 0;
    let start = Instant::now();
    for command in commands {
        peak_bytes = peak_bytes.max(watch(command, resident)?);
    }
    Ok(Measured { seconds: start.elapsed().as_secs_f64(), peak_bytes, archive_bytes: None })
}

fn watch(command: &mut Command, resident: &[u32]) -> Result<u64> {
    let log = tempfile_for_output()?;
    command.stdout(Stdio::from(log.try_clone()?)).stderr(Stdio::from(log.try_clone()?));
    let mut process = Guarded::start(command)?;
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let roots: Vec<u32> = resident.iter().copied().chain([process.pid()]).collect();
    let watcher = std::thread::spawn(move || {
        let mut peak = 0;
        let mut pause = LOOK_FIRST;
        loop {
            peak = peak.max(roots.iter().map(|root| tree_bytes(*root)).sum());
            if stopped.recv_timeout(pause) != Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                return peak;
            }
            pause = (pause * 2).min(LOOK_LATER);
        }
    });
    let status = process.wait()?;
    drop(stop);
    let peak = watcher.join().expect("reading /proc does not panic");
    if !status.success() {
        bail!("{} failed ({status})\n{}", process::describe(command), last_lines(log)?);
    }
    Ok(peak)
}

/// A file without a name, for what programs say.
fn tempfile_for_output() -> Result<std::fs::File> {
    let fd = rustix::fs::memfd_create("output", rustix::fs::MemfdFlags::CLOEXEC).context("memfd_create")?;
    Ok(std::fs::File::from(fd))
}

fn last_lines(mut file: std::fs::File) -> Result<String> {
    use std::io::{Read, Seek};
    file.rewind()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    Ok(lines[lines.len().saturating_sub(20)..].join("\n"))
}

/// Bytes that a process and all that it started have in RAM.
fn tree_bytes(root: u32) -> u64 {
    let mut sum = 0;
    let mut open = vec![root];
    while let Some(pid) = open.pop() {
        sum += resident_bytes(pid);
        let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else { continue };
        for thread in threads.flatten() {
            let children = std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            open.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
    }
    sum
}

/// The second number of `statm`, pages.
fn resident_bytes(pid: u32) -> u64 {
    let pages = std::fs::read_to_string(format!("/proc/{pid}/statm"))
        .ok()
        .and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok());
    pages.unwrap_or(0) * rustix::param::page_size() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_and_memory_of_grandchildren_are_counted() {
        let mut shell = Command::new("sh");
        // 30 MB in a variable of the inner shell.
        shell.args(["-c", "sh -c 'x=$(head -c 30000000 /dev/zero | tr \"\\000\" x); sleep 0.2; true'; true"]);
        let measured = commands(&mut [shell], &[]).unwrap();
        assert!(measured.seconds > 0.2);
        assert!(measured.peak_bytes > 30_000_000, "{measured:?}");
    }

    #[test]
    fn a_failure_shows_what_was_said() {
        let mut shell = Command::new("sh");
        shell.args(["-c", "echo reason >&2; exit 3"]);
        assert!(format!("{:#}", commands(&mut [shell], &[]).unwrap_err()).contains("reason"));
    }
}
