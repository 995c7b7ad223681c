//! Check.
use std::path::PathBuf;

use crate::{Error, Store};

/// Something in a store that should not be so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where.
    pub path: PathBuf,
    /// What.
    pub message: String,
}

impl Store {
    /// Checks every invariant of the format; `contents` reads every blob too.
    pub fn check(&self, contents: bool) -> Result<Vec<Finding>, Error> {
        let _ = contents;
        todo!()
    }
}
