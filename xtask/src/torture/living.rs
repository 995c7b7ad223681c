//! Who lives below a process, and what it waits for: said of a command that does not end, so that a hang can be told from
//! a machine that had no time for it.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// Most lines: a crowd of threads looks the same from the fortieth on.
const LINES_MAX: usize = 40;

/// Hundredths of a second: what the kernel counts processor time in for everybody (USER_HZ).
const TICKS_PER_S: f64 = 100.0;

/// What a `stat` file says of a process or a thread.
struct Stat {
    name: String,
    state: char,
    parent: u32,
    /// Seconds on a processor.
    busy_s: f64,
}

/// A line for each process below `pid`, itself included, and for each of its threads: its state, the function of the
/// kernel that it waits in, the processor time that it had. The load of the machine comes first.
pub(super) fn below(pid: u32) -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let mut text = format!("load {}", load.trim_end());
    let all: Vec<(u32, Stat)> = numbers(Path::new("/proc"))
        .into_iter()
        .filter_map(|pid| Some((pid, stat(&Path::new("/proc").join(pid.to_string()))?)))
        .collect();
    let mut found = vec![pid];
    let mut next = 0;
    let mut lines = 0;
    while let Some(&pid) = found.get(next) {
        next += 1;
        found.extend(all.iter().filter(|(_, stat)| stat.parent == pid).map(|(pid, _)| *pid));
        let tasks = Path::new("/proc").join(pid.to_string()).join("task");
        for task in numbers(&tasks) {
            let folder = tasks.join(task.to_string());
            if let Some(stat) = stat(&folder).filter(|_| lines < LINES_MAX) {
                lines += 1;
                let waits = fs::read_to_string(folder.join("wchan")).unwrap_or_default();
                let Stat { name, state, busy_s, .. } = stat;
                let _ = write!(text, "\n  {pid} {task} {name}: {state} {waits} {busy_s:.2} s");
            }
        }
    }
    text
}

/// Names in a folder that are numbers, in order.
fn numbers(folder: &Path) -> Vec<u32> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut numbers: Vec<u32> =
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    numbers.sort_unstable();
    numbers
}

fn stat(folder: &Path) -> Option<Stat> {
    parse(&fs::read_to_string(folder.join("stat")).ok()?)
}

/// The name stands in parentheses and may hold any; the state is the third field, the parent the fourth, the times of the
/// process in the program and in the kernel the 14th and 15th (proc_pid_stat(5)).
fn parse(text: &str) -> Option<Stat> {
    let (start, rest) = text.rsplit_once(')')?;
    let (_, name) = start.split_once('(')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
    Some(Stat {
        name: name.to_owned(),
        state: fields.first()?.chars().next()?,
        parent: fields.get(1)?.parse().ok()?,
        busy_s: (ticks(11)? + ticks(12)?) / TICKS_PER_S,
    })
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let stat = parse("7 (a) b (c) R 5 7 7 0 -1 4194304 1 0 0 0 120 30 0 0 20 0 1 0 9 0 0").unwrap();
        assert_eq!((&stat.name[..], stat.state, stat.parent, stat.busy_s), ("a) b (c", 'R', 5, 1.5));
    }

    #[test]
    fn children_are_named_with_what_they_wait_for() {
        let mut shell = Command::new("sh").args(["-c", "sleep 20; true"]).spawn().unwrap();
        // The shell may have been seen before it began to wait, and what it started after that.
        let both_wait = |text: &String| text.contains(" sh: S ") && text.contains("sleep: S");
        let text = std::iter::repeat_with(|| below(shell.id())).find(both_wait).unwrap();
        shell.kill().unwrap();
        shell.wait().unwrap();
        assert!(text.starts_with("load "), "{text}");
    }
}
