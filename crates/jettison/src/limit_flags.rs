//! Flags that limit what all processes of a step have together: memory and processors, through control groups. What they
//! mean is decided here, without looking at the machine; [`LimitFlags::control_groups`] then looks what can be had.
//!
//! Sources: docker's flags of the same names (docker/cli `opts/opts.go`), buildx `util/buildflags/resources.go`. How it is
//! done: crate `sandbox`, `control_groups/`.

use std::sync::Arc;

use clap::Args;
use jettison_sandbox::{ControlGroups, Missing, Resources};

use crate::commands::ram_in_bytes;
use crate::failure::Failure;

/// How to have limits all the same.
const IN_A_SCOPE: &str = "to limit the whole build: systemd-run --scope -p MemoryMax=2G jettison build …";

/// What `--resource` knows.
const FIELDS: [&str; 7] =
    ["memory", "memory-swap", "cpu-shares", "cpu-period", "cpu-quota", "cpuset-cpus", "cpuset-mems"];

/// The flags. Of those that `--resource` has too, only the first is shown in the help.
#[derive(Debug, Args)]
pub(crate) struct LimitFlags {
    /// Limits of each RUN step: `memory=2g`, `memory-swap`, `cpu-quota`, `cpu-period`, `cpu-shares`, `cpuset-cpus`,
    /// `cpuset-mems`; repeatable
    #[arg(long = "resource", value_name = "LIMIT=VALUE")]
    resources: Vec<String>,
    /// Most memory of each RUN step, such as 2g
    #[arg(short, long, value_name = "SIZE", allow_hyphen_values = true)]
    memory: Option<String>,
    /// Memory and swap together, -1 for no limit
    #[arg(long, hide = true, value_name = "SIZE", allow_hyphen_values = true)]
    memory_swap: Option<String>,
    /// Weight against others when processors are scarce
    #[arg(short = 'c', long, hide = true, value_name = "N")]
    cpu_shares: Option<String>,
    /// Microseconds of which the quota is a part
    #[arg(long, hide = true, value_name = "N")]
    cpu_period: Option<String>,
    /// Microseconds of processor time in each period
    #[arg(long, hide = true, value_name = "N", allow_hyphen_values = true)]
    cpu_quota: Option<String>,
    /// Processors that may be used, such as 0-2,7
    #[arg(long, hide = true, value_name = "LIST")]
    cpuset_cpus: Option<String>,
    /// Nodes of memory that may be used
    #[arg(long, hide = true, value_name = "LIST")]
    cpuset_mems: Option<String>,
    /// Control group below which those of RUN steps are made
    #[arg(long, value_name = "PATH")]
    cgroup_parent: Option<String>,
}

impl LimitFlags {
    /// What is asked for, checked as far as it can be without the kernel.
    pub(crate) fn resources(&self) -> Result<Resources, Failure> {
        let mut resources = Resources::default();
        let flags = [
            &self.memory,
            &self.memory_swap,
            &self.cpu_shares,
            &self.cpu_period,
            &self.cpu_quota,
            &self.cpuset_cpus,
            &self.cpuset_mems,
        ];
        for (field, value) in FIELDS.iter().zip(flags) {
            if let Some(value) = value {
                set(&mut resources, field, value, &format!("--{field} {value:?}"))?;
            }
        }
        for text in &self.resources {
            let flag = format!("--resource {text:?}");
            for (field, value) in fields(text) {
                set(&mut resources, field, &value, &flag)?;
            }
        }
        check(&resources)?;
        Ok(resources)
    }

    /// Where steps have their groups, if anything is limited at all; and what to say about limits that cannot be had here.
    pub(crate) fn control_groups(&self) -> Result<(Option<Arc<ControlGroups>>, Vec<String>), Failure> {
        let resources = self.resources()?;
        let parent = self.cgroup_parent.as_deref().filter(|path| !path.is_empty());
        if parent.is_some_and(|path| path.split('/').any(|part| part == "..")) {
            let error =
                Failure::usage(format!("--cgroup-parent {:?}: no path may have ..", parent.unwrap_or("")));
            return Err(error.hint("name a group by its path from the top, such as /builds"));
        }
        if resources.is_empty() && parent.is_none() {
            return Ok((None, Vec::new()));
        }
        let (groups, missing) = ControlGroups::find(&resources, parent)
            .map_err(|error| Failure::usage(error).hint("give the limit another value, or leave it out"))?;
        Ok((groups.map(Arc::new), notices(&missing)))
    }
}

/// One line for each reason.
fn notices(missing: &[Missing]) -> Vec<String> {
    let mut lines: Vec<(String, &str)> = Vec::new();
    for Missing { what, reason } in missing {
        match lines.iter_mut().find(|(_, other)| other == reason) {
            Some((names, _)) if names.split(", ").any(|name| name == what) => {}
            Some((names, _)) => *names += &format!(", {what}"),
            None => lines.push((what.clone(), reason)),
        }
    }
    let line = |(names, reason): &(String, &str)| {
        let what = if names == "cgroup-parent" { "--cgroup-parent" } else { &format!("limit of {names}") };
        format!("{what} is without effect: {reason}; {IN_A_SCOPE}")
    };
    lines.iter().map(line).collect()
}

/// `memory=1g,cpuset-cpus=0,1` are two fields: a comma ends a value if another field follows.
fn fields(text: &str) -> Vec<(&str, String)> {
    let mut fields: Vec<(&str, String)> = Vec::new();
    for part in text.split(',') {
        match (part.split_once('='), fields.last_mut()) {
            (Some((field, value)), _) => fields.push((field.trim(), value.trim().to_owned())),
            (None, Some((_, value))) => *value += &format!(",{part}"),
            (None, None) => fields.push((part, String::new())),
        }
    }
    fields
}

fn set(resources: &mut Resources, field: &str, value: &str, flag: &str) -> Result<(), Failure> {
    let number = || {
        let number = value.parse::<i64>().map_err(|_| Failure::usage(format!("{flag}: expected a number")));
        // Zero is what docker takes for nothing.
        number.map(|number| Some(number).filter(|number| *number != 0))
    };
    let positive = || match number()? {
        Some(number) => u64::try_from(number)
            .map(Some)
            .map_err(|_| Failure::usage(format!("{flag}: a number below zero has no meaning"))),
        None => Ok(None),
    };
    let size = || {
        let bytes =
            if value == "-1" { Some(-1) } else { ram_in_bytes(value).and_then(|n| n.try_into().ok()) };
        let wrong = || Failure::usage(format!("{flag}: expected a size, such as 512m, or -1 for no limit"));
        bytes.map(|bytes: i64| Some(bytes).filter(|bytes| *bytes != 0)).ok_or_else(wrong)
    };
    let list = || {
        let is_list = value.chars().all(|c| c.is_ascii_digit() || matches!(c, ',' | '-'));
        let wrong = || Failure::usage(format!("{flag}: expected numbers and ranges, such as 0-2,7"));
        if is_list { Ok(Some(value.to_owned()).filter(|value| !value.is_empty())) } else { Err(wrong()) }
    };
    match field {
        "memory" => resources.memory_bytes = size()?,
        "memory-swap" => resources.memory_swap_bytes = size()?,
        "cpu-shares" => resources.cpu_shares = positive()?,
        "cpu-period" => resources.cpu_period_us = positive()?,
        "cpu-quota" => resources.cpu_quota_us = number()?,
        "cpuset-cpus" => resources.cpuset_cpus = list()?,
        "cpuset-mems" => resources.cpuset_mems = list()?,
        _ => {
            let error = Failure::usage(format!("{flag}: there is no limit {field:?}"));
            return Err(error.hint(format!("it is one of {}", FIELDS.join(", "))));
        }
    }
    Ok(())
}

/// Source: moby `daemon/daemon_unix.go`, which says the same of containers.
fn check(resources: &Resources) -> Result<(), Failure> {
    match (resources.memory_bytes, resources.memory_swap_bytes) {
        (None, Some(swap)) if swap > 0 => {
            Err(Failure::usage("a limit of memory and swap together needs one of memory: --memory"))
        }
        (Some(memory), Some(swap)) if swap > 0 && swap < memory => {
            Err(Failure::usage("the limit of memory and swap together is below that of memory"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        flags: LimitFlags,
    }

    fn of(words: &[&str]) -> Result<Resources, String> {
        let words = [&["build"], words].concat();
        let line = Line::try_parse_from(words).unwrap_or_else(|error| panic!("{error}"));
        line.flags.resources().map_err(|error| error.to_string())
    }

    #[test]
    fn the_old_flags_and_the_new_one_say_the_same() {
        let old = of(&[
            "-m=1.5g",
            "--memory-swap=-1",
            "-c=512",
            "--cpu-period=50000",
            "--cpu-quota=25000",
            "--cpuset-cpus=0,1",
            "--cpuset-mems=0",
        ]);
        let new = of(&[
            "--resource",
            "memory=1.5g,memory-swap=-1,cpu-shares=512,cpuset-cpus=0,1,cpuset-mems=0",
            "--resource=cpu-period=50000",
            "--resource=cpu-quota=25000",
        ]);
        assert_eq!(old, new);
        let resources = new.unwrap();
        assert_eq!(resources.memory_bytes, Some(3 << 29));
        assert_eq!(resources.cpuset_cpus.as_deref(), Some("0,1"));
        assert_eq!(of(&["-m", "1g", "--resource", "memory=2g"]).unwrap().memory_bytes, Some(2 << 30));
    }

    #[test]
    fn nothing_and_zero_are_no_limit() {
        assert!(of(&[]).unwrap().is_empty());
        assert!(of(&["-m", "0", "-c", "0", "--cpu-quota", "0", "--cpuset-cpus", ""]).unwrap().is_empty());
    }

    #[test]
    fn values_that_mean_nothing_are_refused_with_the_flag() {
        let told = |words: &[&str]| of(words).unwrap_err();
        insta::assert_snapshot!([
            told(&["-m", "lots"]),
            told(&["-c=-5"]),
            told(&["--cpu-period", "1.5"]),
            told(&["--cpuset-cpus", "all"]),
            told(&["--memory-swap", "1g"]),
            told(&["-m", "2g", "--memory-swap", "1g"]),
            told(&["--resource", "memory"]),
            told(&["--resource", "pids=5"]),
        ].join("\n"), @r#"
        --memory "lots": expected a size, such as 512m, or -1 for no limit
        --cpu-shares "-5": a number below zero has no meaning
        --cpu-period "1.5": expected a number
        --cpuset-cpus "all": expected numbers and ranges, such as 0-2,7
        a limit of memory and swap together needs one of memory: --memory
        the limit of memory and swap together is below that of memory
        --resource "memory": expected a size, such as 512m, or -1 for no limit
        --resource "pids=5": there is no limit "pids"
        "#);
    }

    #[test]
    fn what_cannot_be_had_is_told_once_for_each_reason() {
        let missing = |what: &str, reason: &str| Missing { what: what.into(), reason: reason.into() };
        let list =
            [missing("memory", "a"), missing("cpu", "a"), missing("cpu", "a"), missing("cgroup-parent", "b")];
        insta::assert_snapshot!(notices(&list).join("\n"), @r"
        limit of memory, cpu is without effect: a; to limit the whole build: systemd-run --scope -p MemoryMax=2G jettison build …
        --cgroup-parent is without effect: b; to limit the whole build: systemd-run --scope -p MemoryMax=2G jettison build …
        ");
    }
}
