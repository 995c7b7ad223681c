//! One command under observation: how it ended, how long it took, and the most memory that it had.

use std::fs::{self, File};
use std::io::{Read, Seek};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::fs::MemfdFlags;

use super::living;
use crate::process::Guarded;

/// How often its memory is looked at. The kernel keeps the peak, so only what happens after the last look is lost.
const LOOK_EVERY: Duration = Duration::from_millis(3);

/// Exit codes of the program itself; a shell's codes for signals lie above, and so does a panic's.
const CODES_MAX: i32 = 100;

/// How a command ended.
pub struct Ended {
    /// Its exit code; none if a signal or we ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    /// Most memory of the process itself (VmHWM), bytes.
    pub peak_bytes: u64,
    pub time: Duration,
    /// It had to be killed, for it did not end in time: what lived then.
    pub hung: Option<String>,
}

impl Ended {
    pub fn succeeded(&self) -> bool {
        self.code == Some(0)
    }

    /// What no input may do: a crash, a hang, a failure without a word.
    pub fn misbehaved(&self) -> Option<String> {
        let said = self.said();
        if let Some(living) = &self.hung {
            let seconds = self.time.as_secs_f64();
            return Some(format!("it did not end within {seconds:.0} s: {said}\n{living}"));
        }
        if self.stderr.contains("panicked at") || self.code.is_none_or(|code| code > CODES_MAX) {
            return Some(format!("it crashed ({:?}): {said}", self.code));
        }
        let silent = !self.succeeded() && !self.stderr.contains("error");
        silent.then(|| format!("it failed ({:?}) without a cause: {said}", self.code))
    }

    /// The end of what it said, for reports.
    pub fn said(&self) -> String {
        let lines: Vec<&str> = self.stderr.lines().collect();
        let text = lines[lines.len().saturating_sub(6)..].join("\n");
        text.chars().take(1500).collect()
    }
}

/// Runs a command with its process group, at most for `limit`.
pub fn run(command: &mut Command, limit: Duration) -> Result<Ended> {
    let kept = || {
        rustix::fs::memfd_create("output", MemfdFlags::CLOEXEC).map(File::from).context("cannot keep output")
    };
    let (mut out, mut err) = (kept()?, kept()?);
    command.stdout(out.try_clone()?).stderr(err.try_clone()?);
    let start = Instant::now();
    let mut process = Guarded::start_group(command)?;
    let status_file = format!("/proc/{}/status", process.pid());
    let mut peak_bytes = 0;
    let mut status = None;
    while start.elapsed() < limit {
        peak_bytes = peak(&status_file).unwrap_or(0).max(peak_bytes);
        status = process.poll()?;
        if status.is_some() {
            break;
        }
        std::thread::sleep(LOOK_EVERY);
    }
    let time = start.elapsed();
    let hung = status.is_none().then(|| living::below(process.pid()));
    process.kill()?;
    Ok(Ended {
        code: status.and_then(|status| status.code()),
        stdout: text(&mut out)?,
        stderr: text(&mut err)?,
        peak_bytes,
        time,
        hung,
    })
}

fn text(file: &mut File) -> Result<String> {
    file.rewind()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn peak(status_file: &str) -> Option<u64> {
    let text = fs::read_to_string(status_file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crashes_hangs_and_silence_are_told_from_errors() {
        let shell = |script: &str, limit| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            run(&mut command, Duration::from_secs(limit)).unwrap()
        };
        assert_eq!(shell("exit 0", 20).misbehaved(), None);
        assert_eq!(shell("echo error: no such file >&2; exit 4", 20).misbehaved(), None);
        assert!(shell("exit 4", 20).misbehaved().unwrap().contains("without a cause"));
        assert!(shell("kill -SEGV $$", 20).misbehaved().unwrap().contains("crashed"));
        assert!(shell("echo thread main panicked at x.rs >&2; exit 1", 20).misbehaved().is_some());
        let hung = shell("sleep 20", 0).misbehaved().unwrap();
        assert!(hung.contains("did not end") && hung.contains("\nload "), "{hung}");
    }
}
