//! Which variables an expansion asks for, and which of them are there.

use std::cell::{Cell, RefCell};

use jettison_dockerfile::expand::Env;

/// Bytes that variables may give to all words of a survey together. After that they count as set, but empty: a file
/// of a few lines could otherwise keep us busy for hours, and no rule looks at values of that size.
const BYTES_MAX: usize = 8 << 20;

/// How many bytes are left.
#[derive(Debug)]
pub(super) struct Budget(Cell<usize>);

impl Default for Budget {
    fn default() -> Self {
        Self(Cell::new(BYTES_MAX))
    }
}

/// An environment that remembers what it was asked for.
pub(super) struct Watch<'a> {
    environment: &'a dyn Env,
    budget: &'a Budget,
    found: RefCell<Vec<String>>,
    missing: RefCell<Vec<String>>,
}

impl<'a> Watch<'a> {
    pub(super) fn new(environment: &'a dyn Env, budget: &'a Budget) -> Self {
        Self { environment, budget, found: RefCell::default(), missing: RefCell::default() }
    }

    /// Names that were asked for: those that are set, and those that are not, each once.
    pub(super) fn into_names(self) -> (Vec<String>, Vec<String>) {
        (self.found.into_inner(), self.missing.into_inner())
    }
}

impl Env for Watch<'_> {
    fn get(&self, name: &str) -> Option<String> {
        let value = self.environment.get(name);
        let list = if value.is_some() { &self.found } else { &self.missing };
        let mut list = list.borrow_mut();
        // One word holds few variables; a hostile one is not searched to its end.
        if !list.iter().rev().take(64).any(|known| known == name) {
            list.push(name.to_owned());
        }
        let value = value?;
        match self.budget.0.get().checked_sub(value.len()) {
            Some(left) => {
                self.budget.0.set(left);
                Some(value)
            }
            None => Some(String::new()),
        }
    }
}
