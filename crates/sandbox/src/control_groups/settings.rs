//! Which files of a control group say what was asked for. Pure: limits in, files and values out.
//!
//! What is asked for are the values of docker's flags, which have the meaning of the first version of control groups; the second
//! one has other files and other units. Sources: opencontainers/cgroups `fs/`, `fs2/` and `utils.go`, which BuildKit's runc
//! uses. Next: `group.rs`, which writes them.

/// Limits that all processes of a step have together. The default is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// Memory in bytes; -1: no limit.
    pub memory_bytes: Option<i64>,
    /// Memory and swap together, in bytes; -1: no limit.
    pub memory_swap_bytes: Option<i64>,
    /// Weight against others when processors are scarce, 2 to 262144; the weight of whoever says nothing is 1024.
    pub cpu_shares: Option<u64>,
    /// The time, in microseconds, of which the quota is a part; the kernel's default is 100000.
    pub cpu_period_us: Option<u64>,
    /// Processor time within each period, in microseconds; -1: no limit.
    pub cpu_quota_us: Option<i64>,
    /// Processors that may be used, such as `0-2,7`.
    pub cpuset_cpus: Option<String>,
    /// Nodes of memory that may be used, such as `0`.
    pub cpuset_mems: Option<String>,
}

impl Resources {
    /// Whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A part of the kernel that limits something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Controller {
    /// Memory and swap.
    Memory,
    /// Processor time.
    Cpu,
    /// Which processors.
    Cpuset,
}

impl Controller {
    pub(super) const ALL: [Self; 3] = [Self::Memory, Self::Cpu, Self::Cpuset];

    /// As the kernel calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::Cpuset => "cpuset",
        }
    }
}

/// The two kinds of hierarchies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// One for each controller or for a few.
    V1,
    /// One for all.
    V2,
}

/// A file of a control group, and what is written to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) controller: Controller,
    pub(crate) file: &'static str,
    pub(crate) value: String,
}

/// The files, in the order in which they must be written.
pub(crate) fn settings(resources: &Resources, version: Version) -> Vec<Setting> {
    let mut settings = Vec::new();
    let mut set = |controller, file, value: Option<String>| {
        settings.extend(value.map(|value| Setting { controller, file, value }));
    };
    let Resources { memory_bytes, memory_swap_bytes, cpu_shares, cpu_period_us, cpu_quota_us, .. } =
        resources;
    match version {
        Version::V1 => {
            // Memory first: its limit may never be above that of both together.
            set(Controller::Memory, "memory.limit_in_bytes", memory_bytes.map(|n| n.to_string()));
            set(Controller::Memory, "memory.memsw.limit_in_bytes", memory_swap_bytes.map(|n| n.to_string()));
            set(Controller::Cpu, "cpu.shares", cpu_shares.map(|n| n.to_string()));
            set(Controller::Cpu, "cpu.cfs_period_us", cpu_period_us.map(|n| n.to_string()));
            set(Controller::Cpu, "cpu.cfs_quota_us", cpu_quota_us.map(|n| n.to_string()));
        }
        Version::V2 => {
            set(Controller::Memory, "memory.max", memory_bytes.map(or_max));
            set(Controller::Memory, "memory.swap.max", swap_alone(*memory_bytes, *memory_swap_bytes));
            set(Controller::Cpu, "cpu.weight", cpu_shares.map(|n| weight(n).to_string()));
            set(Controller::Cpu, "cpu.max", quota_of_period(*cpu_quota_us, *cpu_period_us));
        }
    }
    set(Controller::Cpuset, "cpuset.cpus", resources.cpuset_cpus.clone());
    set(Controller::Cpuset, "cpuset.mems", resources.cpuset_mems.clone());
    settings
}

fn or_max(number: i64) -> String {
    if number < 0 { "max".to_owned() } else { number.to_string() }
}

/// The second version counts swap apart from memory.
fn swap_alone(memory: Option<i64>, both: Option<i64>) -> Option<String> {
    let swap = match (memory, both?) {
        (_, both) if both < 0 => -1,
        (Some(memory), both) if memory >= 0 => both.saturating_sub(memory).max(0),
        (_, both) => both,
    };
    Some(or_max(swap))
}

/// Shares of 2 to 262144 with 1024 in the middle become weights of 1 to 10000 with 100 in the middle.
fn weight(shares: u64) -> u64 {
    match shares {
        0..=2 => 1,
        262_144.. => 10_000,
        _ => {
            #[allow(clippy::cast_precision_loss, reason = "at most 262144")]
            let bits = (shares as f64).log2();
            let exponent = (bits * bits + 125.0 * bits) / 612.0 - 7.0 / 34.0;
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to 10000")]
            let weight = (10_f64.powf(exponent) - 1e-9).ceil() as u64;
            weight
        }
    }
}

fn quota_of_period(quota: Option<i64>, period: Option<u64>) -> Option<String> {
    let quota = match (quota, period) {
        (None, None) => return None,
        (Some(quota), _) if quota > 0 => quota.to_string(),
        _ => "max".to_owned(),
    };
    Some(period.map_or_else(|| quota.clone(), |period| format!("{quota} {period}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(resources: &Resources, version: Version) -> String {
        let line = |s: &Setting| format!("{} {} = {}", s.controller.name(), s.file, s.value);
        settings(resources, version).iter().map(line).collect::<Vec<_>>().join("\n")
    }

    fn everything() -> Resources {
        Resources {
            memory_bytes: Some(64 << 20),
            memory_swap_bytes: Some(96 << 20),
            cpu_shares: Some(1024),
            cpu_period_us: Some(50_000),
            cpu_quota_us: Some(25_000),
            cpuset_cpus: Some("0-1,3".into()),
            cpuset_mems: Some("0".into()),
        }
    }

    #[test]
    fn the_first_version_takes_what_was_asked_for() {
        insta::assert_snapshot!(text(&everything(), Version::V1), @r"
        memory memory.limit_in_bytes = 67108864
        memory memory.memsw.limit_in_bytes = 100663296
        cpu cpu.shares = 1024
        cpu cpu.cfs_period_us = 50000
        cpu cpu.cfs_quota_us = 25000
        cpuset cpuset.cpus = 0-1,3
        cpuset cpuset.mems = 0
        ");
    }

    #[test]
    fn the_second_version_has_other_units() {
        insta::assert_snapshot!(text(&everything(), Version::V2), @r"
        memory memory.max = 67108864
        memory memory.swap.max = 33554432
        cpu cpu.weight = 100
        cpu cpu.max = 25000 50000
        cpuset cpuset.cpus = 0-1,3
        cpuset cpuset.mems = 0
        ");
    }

    #[test]
    fn nothing_asked_for_is_nothing_written() {
        for version in [Version::V1, Version::V2] {
            assert_eq!(settings(&Resources::default(), version), []);
        }
        assert!(Resources::default().is_empty() && !everything().is_empty());
    }

    #[test]
    fn minus_one_is_no_limit() {
        let mut none =
            Resources { memory_bytes: Some(-1), memory_swap_bytes: Some(-1), ..Resources::default() };
        none.cpu_quota_us = Some(-1);
        insta::assert_snapshot!(text(&none, Version::V1), @r"
        memory memory.limit_in_bytes = -1
        memory memory.memsw.limit_in_bytes = -1
        cpu cpu.cfs_quota_us = -1
        ");
        insta::assert_snapshot!(text(&none, Version::V2), @r"
        memory memory.max = max
        memory memory.swap.max = max
        cpu cpu.max = max
        ");
        let swap_of_a_limit = Resources { memory_bytes: Some(5), memory_swap_bytes: Some(-1), ..none };
        assert!(text(&swap_of_a_limit, Version::V2).contains("memory.swap.max = max"));
    }

    #[test]
    fn a_period_alone_keeps_the_quota_unlimited() {
        let period = Resources { cpu_period_us: Some(20_000), ..Resources::default() };
        assert_eq!(text(&period, Version::V2), "cpu cpu.max = max 20000");
    }

    #[test]
    fn weights_grow_with_shares_and_stay_in_their_range() {
        assert_eq!([0, 2, 1024, 262_144, u64::MAX].map(weight), [1, 1, 100, 10_000, 10_000]);
        let weights: Vec<u64> = (2..=262_144).step_by(37).map(weight).collect();
        assert!(weights.is_sorted() && weights.iter().all(|w| (1..=10_000).contains(w)));
    }
}
