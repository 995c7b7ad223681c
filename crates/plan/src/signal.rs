//! STOPSIGNAL: is it a signal?
//!
//! Source: moby/sys `signal/signal_linux.go` (names, case, numbers). The text is stored as written.

const NAMES: [&str; 37] = [
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL", "PIPE",
    "POLL", "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU",
    "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ", "RTMIN", "RTMAX", "UNUSED",
];

/// Real-time signals are counted from both ends: RTMIN+1 to RTMIN+15, RTMAX-1 to RTMAX-14.
const ABOVE_RTMIN_MAX: u8 = 15;
const BELOW_RTMAX_MAX: u8 = 14;

/// Whether `text` names a Linux signal, by name with or without SIG, or by number.
pub(crate) fn is_signal(text: &str) -> bool {
    if let Ok(number) = text.parse::<i64>() {
        return number != 0;
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let counted = |prefix: &str, max: u8| {
        name.strip_prefix(prefix)
            .filter(|digits| !digits.starts_with(['0', '+']))
            .and_then(|digits| digits.parse::<u8>().ok())
            .is_some_and(|n| n <= max)
    };
    NAMES.contains(&name) || counted("RTMIN+", ABOVE_RTMIN_MAX) || counted("RTMAX-", BELOW_RTMAX_MAX)
}

/// The known names, for hints.
pub(crate) fn names() -> impl Iterator<Item = String> {
    NAMES.iter().map(|name| format!("SIG{name}"))
}

#[cfg(test)]
mod tests {
    use super::is_signal;

    #[test]
    fn names_and_numbers() {
        for text in ["SIGTERM", "term", "SigKill", "9", "RTMIN+15", "SIGRTMAX-14", "64"] {
            assert!(is_signal(text), "{text}");
        }
        for text in ["", "0", "SIG", "SIGFOO", "RTMIN+16", "RTMIN+0", "RTMIN+01", "9x", "SIGSIGTERM"] {
            assert!(!is_signal(text), "{text}");
        }
    }
}
