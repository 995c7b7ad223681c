//! The variables of the stage at hand. Leaving a stage takes back what it set, instead of copying what it inherits: a
//! thousand stages on one with a thousand variables cost no more than their lines.

use std::collections::{HashMap, HashSet};

use jettison_dockerfile::expand::Env;

/// What a stage and those that it is based on have set.
#[derive(Debug, Default)]
pub(super) struct Scope {
    values: HashMap<String, String>,
    /// Names that an ARG of these stages declares.
    declared: HashSet<String>,
    log: Vec<Undo>,
    pub(super) state: State,
}

/// What is not a variable.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct State {
    /// The variables of the base image are known.
    pub(super) base_known: bool,
    /// SHELL was set, here or in the base image.
    pub(super) shell_set: bool,
    /// WORKDIR was set in this file.
    pub(super) workdir_set: bool,
}

#[derive(Debug)]
enum Undo {
    Value(String, Option<String>),
    Declared(String),
}

/// A moment to go back to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    log: usize,
    state: State,
}

impl Scope {
    pub(super) fn set(&mut self, name: &str, value: String) {
        let before = self.values.insert(name.to_owned(), value);
        self.log.push(Undo::Value(name.to_owned(), before));
    }

    pub(super) fn declare(&mut self, name: &str) {
        if self.declared.insert(name.to_owned()) {
            self.log.push(Undo::Declared(name.to_owned()));
        }
    }

    pub(super) fn is_declared(&self, name: &str) -> bool {
        self.declared.contains(name)
    }

    /// How many variables there are.
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    pub(super) fn mark(&self) -> Mark {
        Mark { log: self.log.len(), state: self.state }
    }

    pub(super) fn back_to(&mut self, mark: Mark) {
        self.state = mark.state;
        for undo in self.log.drain(mark.log..).rev() {
            match undo {
                Undo::Declared(name) => {
                    self.declared.remove(&name);
                }
                Undo::Value(name, None) => {
                    self.values.remove(&name);
                }
                Undo::Value(name, Some(value)) => {
                    self.values.insert(name, value);
                }
            }
        }
    }
}

impl Env for Scope {
    fn get(&self, name: &str) -> Option<String> {
        self.values.get(name).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaving_takes_back() {
        let mut scope = Scope::default();
        scope.set("A", "1".to_owned());
        let mark = scope.mark();
        scope.set("A", "2".to_owned());
        scope.set("A", "3".to_owned());
        scope.set("B", "4".to_owned());
        scope.declare("B");
        scope.state.shell_set = true;
        assert_eq!(scope.get("A").as_deref(), Some("3"));
        scope.back_to(mark);
        assert_eq!(scope.get("A").as_deref(), Some("1"));
        assert!(scope.get("B").is_none() && !scope.is_declared("B") && !scope.state.shell_set);
        assert_eq!(scope.len(), 1);
    }
}
