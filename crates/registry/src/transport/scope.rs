//! Scopes: what a token allows, `repository:NAME:pull,push`. Pure.
//!
//! Source: distribution, `docs/spec/auth/scope.md`.

use std::collections::BTreeSet;
use std::fmt;

/// One resource with its actions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Scope {
    /// `repository:library/golang`.
    resource: String,
    /// `pull`, `push`, `*`.
    actions: BTreeSet<String>,
}

/// A set of scopes, at most one per resource, the most wanted first: some registries read only the first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Scopes(Vec<Scope>);

impl Scopes {
    /// Nothing, for requests that are not about a repository.
    pub(crate) fn none() -> Self {
        Self::default()
    }

    /// To read `repository`.
    pub(crate) fn pull(repository: &str) -> Self {
        Self::of(repository, &["pull"])
    }

    /// To read and write `repository`.
    pub(crate) fn push(repository: &str) -> Self {
        Self::of(repository, &["pull", "push"])
    }

    fn of(repository: &str, actions: &[&str]) -> Self {
        let actions = actions.iter().map(|a| (*a).to_owned()).collect();
        Self(vec![Scope { resource: format!("repository:{repository}"), actions }])
    }

    /// The scopes of a challenge, separated by blanks.
    pub(crate) fn parse(text: &str) -> Self {
        let mut out = Self::none();
        for word in text.split_ascii_whitespace() {
            if let Some((resource, actions)) = word.rsplit_once(':') {
                let actions = actions.split(',').filter(|a| !a.is_empty()).map(str::to_owned).collect();
                out = out.and(&Self(vec![Scope { resource: resource.to_owned(), actions }]));
            }
        }
        out
    }

    /// Both together; `other`'s resources that are missing here come last.
    pub(crate) fn and(mut self, other: &Self) -> Self {
        for scope in &other.0 {
            match self.0.iter_mut().find(|s| s.resource == scope.resource) {
                Some(mine) => mine.actions.extend(scope.actions.iter().cloned()),
                None => self.0.push(scope.clone()),
            }
        }
        self
    }

    /// Whether a token for `self` serves a request for `wanted`.
    pub(crate) fn covers(&self, wanted: &Self) -> bool {
        wanted.0.iter().all(|want| {
            self.0
                .iter()
                .any(|have| have.resource == want.resource && have.actions.is_superset(&want.actions))
        })
    }

    /// One text per scope.
    pub(crate) fn iter(&self) -> impl Iterator<Item = String> + '_ {
        self.0.iter().map(Scope::to_string)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let actions: Vec<_> = self.actions.iter().map(String::as_str).collect();
        write!(f, "{}:{}", self.resource, actions.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widening_and_covering() {
        let pull = Scopes::pull("a/b");
        let push = Scopes::push("a/b");
        assert!(push.covers(&pull) && !pull.covers(&push) && pull.covers(&Scopes::none()));
        let both = push.clone().and(&Scopes::pull("c"));
        assert!(both.covers(&Scopes::pull("c")) && both.covers(&push));
        assert_eq!(both.iter().collect::<Vec<_>>(), ["repository:a/b:pull,push", "repository:c:pull"]);
        assert_eq!(
            Scopes::parse("repository:host:5000/x:pull repository:y:pull,push registry:catalog:*")
                .iter()
                .count(),
            3
        );
        assert_eq!(Scopes::parse("repository:y:push").and(&Scopes::pull("y")), Scopes::push("y"));
    }
}
