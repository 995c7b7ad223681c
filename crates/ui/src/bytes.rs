//! Sizes for people, written and read.

/// `6.55MB`: decimal units, at most three digits, no zeros at the end, as docker prints sizes (go-units HumanSize).
pub fn for_people(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let mut unit = 0;
    let mut value = bytes as f64;
    // What would be rounded to 1000 belongs to the next unit.
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let decimals = match value {
        _ if unit == 0 => 0,
        v if v >= 99.95 => 0,
        v if v >= 9.995 => 1,
        _ => 2,
    };
    let number = format!("{value:.decimals$}");
    let number = if decimals == 0 { &number } else { number.trim_end_matches('0').trim_end_matches('.') };
    format!("{number}{}", UNITS[unit])
}

/// Bytes of `5GB`, `100M`, `1.5k`, `1024`, `2GiB`: decimal units unless there is an `i`. `None` if it is no size.
pub fn parse(text: &str) -> Option<u64> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit = unit.trim().to_ascii_lowercase();
    let unit = unit.strip_suffix('b').unwrap_or(&unit);
    let (unit, base) = match unit.strip_suffix('i') {
        Some(unit) => (unit, 1024_f64),
        None => (unit, 1000_f64),
    };
    let power = match (unit, base > 1000.0) {
        ("", false) => 0,
        ("k", _) => 1,
        ("m", _) => 2,
        ("g", _) => 3,
        ("t", _) => 4,
        ("p", _) => 5,
        _ => return None,
    };
    // Whole numbers stay exact; a float would lose the last digits of large ones.
    if let (Ok(whole), 0) = (number.parse::<u64>(), power) {
        return Some(whole);
    }
    let bytes = number.parse::<f64>().ok()? * base.powi(power);
    (bytes < u64::MAX as f64).then_some(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_docker_prints_them() {
        for (bytes, text) in [
            (0, "0B"),
            (999, "999B"),
            (1_000, "1kB"),
            (6_550_000, "6.55MB"),
            (6_500_000, "6.5MB"),
            (72_840_000, "72.8MB"),
            (100_000_000, "100MB"),
            (783_000_000, "783MB"),
            (999_600, "1MB"),
            (999_499, "999kB"),
            (9_996_000, "10MB"),
            (u64::MAX, "18.4EB"),
        ] {
            assert_eq!(for_people(bytes), text, "{bytes}");
        }
    }

    #[test]
    fn sizes_as_people_write_them() {
        for (text, bytes) in [
            ("5GB", Some(5_000_000_000)),
            ("1.5k", Some(1_500)),
            ("1024", Some(1_024)),
            ("18446744073709551615", Some(u64::MAX)),
            (" 100 M ", Some(100_000_000)),
            ("2GiB", Some(2 << 30)),
            ("2kib", Some(2_048)),
            ("7b", Some(7)),
            ("x", None),
            ("", None),
            ("1.2.3", None),
            ("-1", None),
            ("1i", None),
            ("5Q", None),
            ("99999999999999999999P", None),
        ] {
            assert_eq!(parse(text), bytes, "{text:?}");
        }
    }
}
