//! Times in configs: seconds since 1970, written as RFC 3339 in UTC.

/// The time given to what a build makes when nothing else says one: 1980-01-01, the earliest that zip files and
/// Python wheels can hold.
pub const DEFAULT_EPOCH_SECONDS: i64 = 315_532_800;

/// `2026-11-24T03:00:00Z` for a number of seconds since 1970. Out of range: the nearest time that can be written.
pub fn rfc3339(seconds: i64) -> String {
    let clamped = seconds.clamp(jiff::Timestamp::MIN.as_second(), jiff::Timestamp::MAX.as_second());
    jiff::Timestamp::from_second(clamped).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
}

/// Seconds since 1970 of an RFC 3339 text.
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_and_reads() {
        assert_eq!(rfc3339(DEFAULT_EPOCH_SECONDS), "1980-01-01T00:00:00Z");
        assert_eq!(parse_rfc3339("1980-01-01T00:00:00Z"), Some(DEFAULT_EPOCH_SECONDS));
        assert_eq!(parse_rfc3339("2024-05-01T10:11:12.123456789+02:00"), Some(1_714_551_072));
    }
}
