//! "Did you mean …?": the nearest name.

/// The candidate nearest to `word`, ignoring case; `None` if none is near enough to be worth naming.
pub fn nearest<'a>(_word: &str, _candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    None
}
