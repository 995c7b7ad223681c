//! What a terminal shows at one moment: a value of the model, the size and the time.
//!
//! A header, a row per task in the order in which they began, below what runs its transfers and the end of its
//! output, then remarks. When that is too tall, finished tasks are folded first, then output, then transfers; what
//! runs is the last to go.

use std::time::Duration;

use crate::bytes::for_people;
use crate::clean::{truncated, width};
use crate::line::{Line, Tone};
use crate::model::{State, Status, Task, Transfer};

/// Lines of output shown of each running task.
const TAIL_MAX: usize = 6;
/// Blobs shown of each running task.
const TRANSFERS_MAX: usize = 4;
/// Remarks shown while something runs; all are there in the end.
const REMARKS_MAX: usize = 3;
/// Finished tasks that stay in sight although output below could use their lines.
const FINISHED_MIN: usize = 3;
/// Columns of a bar.
const BAR_COLUMNS: usize = 20;
/// Columns that a view assumes at least; narrower terminals cut the rest off.
const COLUMNS_MIN: usize = 20;

/// The size of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Columns.
    pub columns: u16,
    /// Rows.
    pub rows: u16,
}

impl Default for Size {
    /// What a terminal has that says nothing.
    fn default() -> Self {
        Self { columns: 80, rows: 24 }
    }
}

/// The view while something runs: at most one line less than the terminal has rows.
pub fn frame(state: &State, size: Size, now: Duration) -> Vec<Line> {
    let columns = usize::from(size.columns).max(COLUMNS_MIN);
    let rows = usize::from(size.rows).max(3) - 1;
    let mut lines = vec![header(state, now, "")];
    let remarks = remark_lines(state, columns, REMARKS_MAX.min(rows / 4));
    let body_rows = rows - 1 - remarks.len();
    lines.extend(body(state, columns, body_rows, now));
    lines.extend(remarks);
    lines.truncate(rows);
    lines
}

/// The view that stays behind: every task, no details, every remark.
pub fn final_frame(state: &State, size: Size, now: Duration, succeeded: bool) -> Vec<Line> {
    let columns = usize::from(size.columns).max(COLUMNS_MIN);
    let mut lines = vec![header(state, now, if succeeded { " FINISHED" } else { " FAILED" })];
    lines.extend(state.started().map(|task| row(task, columns, now)));
    lines.extend(remark_lines(state, columns, usize::MAX));
    lines
}

fn header(state: &State, now: Duration, outcome: &str) -> Line {
    let counts = format!("({}/{})", state.over(), state.tasks().len());
    Line::new(Tone::Normal, format!("[+] {} {} {counts}{outcome}", state.title(), seconds(now)))
}

/// The rows of tasks, at most `rows` of them.
fn body(state: &State, columns: usize, rows: usize, now: Duration) -> Vec<Line> {
    let finished = state.started().filter(|task| task.status.is_over()).count();
    let level = detail_level(state, rows, rows.min(finished.min(FINISHED_MIN)));
    let details_rows: usize = active(state).map(|task| 1 + details_count(task, level)).sum();
    let finished_rows = rows.saturating_sub(details_rows);
    let mut folded = 0;
    if finished > finished_rows {
        // One row says how many are folded.
        folded = finished - finished_rows.saturating_sub(1);
    }
    let mut lines = Vec::new();
    if folded > 0 && finished_rows > 0 {
        lines.push(Line::new(Tone::Faint, format!(" => {folded} finished{}", cached_among(state, folded))));
    }
    let mut over = 0;
    for task in state.started() {
        if task.status.is_over() {
            over += 1;
            if over <= folded {
                continue;
            }
        }
        lines.push(row(task, columns, now));
        if !task.status.is_over() {
            lines.extend(details(task, columns, level));
        }
    }
    if lines.len() > rows {
        let hidden = lines.len() - rows.saturating_sub(1);
        lines.truncate(rows.saturating_sub(1));
        lines.push(Line::new(Tone::Faint, format!(" => {hidden} more")));
    }
    lines
}

fn active(state: &State) -> impl Iterator<Item = &Task> {
    state.started().filter(|task| !task.status.is_over())
}

/// The most lines of output (and transfers) per running task for which `reserved` rows stay for finished tasks.
fn detail_level(state: &State, rows: usize, reserved: usize) -> usize {
    let fits = |level: &usize| {
        let needed: usize = active(state).map(|task| 1 + details_count(task, *level)).sum();
        needed + reserved <= rows
    };
    (0..=TAIL_MAX).rev().find(fits).unwrap_or(0)
}

fn details_count(task: &Task, level: usize) -> usize {
    moving(task).take(level.min(TRANSFERS_MAX)).count() + task.tail(level).len()
}

fn details(task: &Task, columns: usize, level: usize) -> Vec<Line> {
    let transfers = moving(task).take(level.min(TRANSFERS_MAX)).map(transfer_line);
    let output = task
        .tail(level)
        .into_iter()
        .map(|text| Line::new(Tone::Faint, truncated(&format!(" => => # {text}"), columns)));
    transfers.chain(output).collect()
}

/// The transfers that are not complete.
fn moving(task: &Task) -> impl Iterator<Item = &Transfer> {
    task.transfers.iter().filter(|transfer| !transfer.is_complete())
}

fn transfer_line(transfer: &Transfer) -> Line {
    let name = format!(" => => {} ", transfer.digest.short());
    match transfer.total_bytes {
        Some(total_bytes) => Line::new(Tone::Faint, name)
            .then(Tone::Active, bar(transfer.done_bytes, total_bytes))
            .then(Tone::Faint, format!(" {} / {}", for_people(transfer.done_bytes), for_people(total_bytes))),
        None => Line::new(Tone::Faint, format!("{name}{}", for_people(transfer.done_bytes))),
    }
}

fn bar(done_bytes: u64, total_bytes: u64) -> String {
    let share = (done_bytes.min(total_bytes) as f64 / total_bytes.max(1) as f64).clamp(0.0, 1.0);
    let full = (share * BAR_COLUMNS as f64) as usize;
    format!("{}{}", "━".repeat(full), "─".repeat(BAR_COLUMNS - full))
}

/// ` => CACHED [build 2/4] RUN go build …            12.3s`
fn row(task: &Task, columns: usize, now: Duration) -> Line {
    let (mark, tone, elapsed) = match task.status {
        Status::Waiting => ("", Tone::Normal, Duration::ZERO),
        Status::Running { since } => ("", Tone::Active, now.saturating_sub(since)),
        Status::Done { elapsed, cached: false } => ("", Tone::Good, elapsed),
        Status::Done { elapsed, cached: true } => ("CACHED ", Tone::Good, elapsed),
        Status::Failed { elapsed } => ("ERROR ", Tone::Bad, elapsed),
        Status::Canceled { elapsed } => ("CANCELED ", Tone::Warning, elapsed),
    };
    let transferred = task.transferred().map(|(done, total)| match total {
        Some(total) if !task.status.is_over() => format!(" {} / {}", for_people(done), for_people(total)),
        _ => format!(" {}", for_people(done)),
    });
    let right = format!("{}  {}", transferred.unwrap_or_default(), seconds(elapsed));
    let left_columns = columns.saturating_sub(width(&right));
    let left = truncated(&format!(" => {mark}{}", task.name), left_columns);
    let gap = " ".repeat(left_columns.saturating_sub(width(&left)));
    Line::new(tone, left).then(Tone::Normal, format!("{gap}{right}"))
}

/// `, 8 cached`: how many of the first `count` finished tasks were.
fn cached_among(state: &State, count: usize) -> String {
    let cached = state
        .started()
        .filter(|task| task.status.is_over())
        .take(count)
        .filter(|task| matches!(task.status, Status::Done { cached: true, .. }))
        .count();
    if cached == 0 { String::new() } else { format!(", {cached} of them cached") }
}

/// The last `count` remarks.
fn remark_lines(state: &State, columns: usize, count: usize) -> Vec<Line> {
    let remarks = state.remarks();
    remarks[remarks.len().saturating_sub(count)..]
        .iter()
        .map(|remark| {
            let (mark, tone) = if remark.warning { ("warning: ", Tone::Warning) } else { ("", Tone::Faint) };
            Line::new(tone, truncated(&format!(" ! {mark}{}", remark.text), columns))
        })
        .collect()
}

/// `12.3s`
fn seconds(elapsed: Duration) -> String {
    // Rounded down: a step that is shown with 1.0s has run for a second.
    let tenths = elapsed.as_millis() / 100;
    format!("{}.{}s", tenths / 10, tenths % 10)
}
