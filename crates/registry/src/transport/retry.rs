//! When to try again, and how long to wait before. Pure.
//!
//! Tables: go-containerregistry retries three times after 1 s and 3 s; containers/image answers 429 with five tries,
//! 2 s doubling to 60 s, and obeys `Retry-After`.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, SystemTime};

/// Tries of a request in all, when the network or the server fails.
pub(crate) const TRIES: u32 = 3;
/// Tries of a request in all, when the server says that there were too many.
pub(crate) const TRIES_RATE_LIMITED: u32 = 5;
/// The longest wait. A server that asks for more is not waited for: the error says how long it wants.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(60);

/// Whether a status tends to pass by itself. 522 is Cloudflare's connection time-out, 499 nginx's.
pub(crate) fn is_transient(status: u16) -> bool {
    matches!(status, 408 | 429 | 499 | 500 | 502 | 503 | 504 | 522)
}

/// How long to wait before try number `tried + 1`, or `None` to give up. `retry_after` is the server's wish.
pub(crate) fn wait(tried: u32, status: Option<u16>, retry_after: Option<Duration>) -> Option<Duration> {
    let rate_limited = status == Some(429);
    if tried >= if rate_limited { TRIES_RATE_LIMITED } else { TRIES } {
        return None;
    }
    if let Some(wish) = retry_after {
        return (wish <= WAIT_MAX).then_some(wish);
    }
    let (first, factor) = if rate_limited { (2.0, 2.0_f64) } else { (1.0, 3.0) };
    let seconds = first * factor.powi(tried.saturating_sub(1).cast_signed());
    Some(with_jitter(Duration::from_secs_f64(seconds)).min(WAIT_MAX))
}

/// Up to a tenth more, so that many clients that failed together do not come back together.
fn with_jitter(wait: Duration) -> Duration {
    let random = RandomState::new().hash_one(0_u8) % 100;
    wait + wait.mul_f64(random as f64 / 1000.0)
}

/// `Retry-After`, either form: seconds, or an HTTP date seen from `now`.
pub(crate) fn parse_retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let then = jiff::fmt::rfc2822::parse(value).ok()?.timestamp().as_second();
    let now = now.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs().cast_signed();
    Some(Duration::from_secs(then.saturating_sub(now).max(0).cast_unsigned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_retry_after() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(parse_retry_after(" 7 ", now), Some(Duration::from_secs(7)));
        assert_eq!(parse_retry_after("Sun, 06 Nov 1994 08:49:47 GMT", now), Some(Duration::from_secs(10)));
        assert_eq!(parse_retry_after("Sun, 06 Nov 1994 08:00:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(parse_retry_after("soon", now), None);
    }

    #[test]
    fn waits_grow_and_end() {
        let about = |tried, status, seconds: f64| {
            let wait = wait(tried, status, None).unwrap().as_secs_f64();
            assert!((seconds..seconds * 1.1).contains(&wait), "try {tried}: {wait} s");
        };
        about(1, None, 1.0);
        about(2, None, 3.0);
        assert_eq!(wait(3, None, None), None);
        for (tried, seconds) in [(1, 2.0), (2, 4.0), (3, 8.0), (4, 16.0)] {
            about(tried, Some(429), seconds);
        }
        assert_eq!(wait(5, Some(429), None), None);
        assert_eq!(wait(1, Some(503), Some(Duration::from_secs(9))), Some(Duration::from_secs(9)));
        assert_eq!(wait(1, Some(429), Some(Duration::from_secs(3600))), None);
    }
}
