//! Sizes with a suffix: `64m`, `1.5 GiB`, powers of 1024 all (docker/go-units: RAMInBytes).

/// Bytes of a size; `None` if it is none.
pub(super) fn parse(text: &str) -> Option<u64> {
    let length = text.rfind(|c: char| c.is_ascii_digit() || c == '.')? + 1;
    let (number, suffix) = text.split_at(length);
    let suffix = suffix.strip_prefix(' ').unwrap_or(suffix).to_ascii_lowercase();
    let shift = match suffix.trim_end_matches('b').trim_end_matches('i') {
        "" if suffix.is_empty() || suffix == "b" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        "p" => 50,
        _ => return None,
    };
    if !matches!(suffix.get(1..).unwrap_or_default(), "" | "b" | "i" | "ib") {
        return None;
    }
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        return None;
    }
    let whole = whole.parse::<u64>().ok()?.checked_mul(1 << shift)?;
    let mut numerator: u128 = 0;
    let mut denominator: u128 = 1;
    for digit in fraction.bytes().take(18) {
        numerator = numerator * 10 + u128::from(digit - b'0');
        denominator *= 10;
    }
    let part = u64::try_from((numerator << shift) / denominator).ok()?;
    whole.checked_add(part).filter(|bytes| i64::try_from(*bytes).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let cases: &[(&str, Option<u64>)] = &[
            ("0", Some(0)),
            ("128", Some(128)),
            ("128b", Some(128)),
            ("1k", Some(1024)),
            ("1K", Some(1024)),
            ("1kb", Some(1024)),
            ("1KiB", Some(1024)),
            ("1.5k", Some(1536)),
            ("64m", Some(64 << 20)),
            ("2 GB", Some(2 << 30)),
            ("1t", Some(1 << 40)),
            ("1p", Some(1 << 50)),
            ("99999999p", None),
            ("", None),
            ("k", None),
            ("-1", None),
            ("1x", None),
            ("1ki b", None),
            ("1  k", None),
            ("1.2.3", None),
            ("ib", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), *expected, "{text}");
        }
    }
}
