//! What a target takes from outside: arguments, secrets, agents (BuildKit: dockerfile2llb/outline.go).

use std::collections::{BTreeSet, HashMap, HashSet};

use jettison_dockerfile::{ArgItem, Dockerfile, GlobalArg, Span};

use super::from;
use super::stage::Parameters;
use super::watch::Budget;
use crate::arguments::Arguments;

/// What a target takes, in order of place; of equal names the one nearest to the target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outline {
    /// Name of the target stage.
    pub name: Option<String>,
    /// What the comment above it says of it.
    pub description: Option<String>,
    /// Arguments.
    pub arguments: Vec<Argument>,
    /// Secrets.
    pub secrets: Vec<Secret>,
    /// SSH agents.
    pub agents: Vec<Agent>,
}

/// An argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// Its name.
    pub name: String,
    /// Its value, `None` if it has none.
    pub value: Option<String>,
    /// What the comment above it says of it.
    pub description: Option<String>,
    /// The ARG instruction.
    pub span: Span,
}

/// A secret that a RUN mounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    /// Its id.
    pub id: String,
    /// Whether the step fails without it.
    pub required: bool,
    /// The RUN instruction.
    pub span: Span,
}

/// An SSH agent that a RUN mounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// Its id.
    pub id: String,
    /// Whether the step fails without it.
    pub required: bool,
    /// The RUN instruction.
    pub span: Span,
}

/// The text of the comment that begins with `name`.
pub(super) fn description(comments: &[String], name: &str) -> Option<String> {
    let text = |comment: &String| comment.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned);
    comments.iter().find_map(text)
}

/// Puts together what the stages take that `target` needs.
pub(super) fn outline(
    file: &Dockerfile,
    arguments: &Arguments,
    target: usize,
    mut stages: Vec<(usize, Parameters)>,
) -> Outline {
    let from = &file.stages[target].from;
    let name = from.name.as_ref().map(|name| name.value.clone());
    let mut outline = Outline {
        description: name.as_ref().and_then(|name| description(&from.comments, name)),
        name,
        ..Outline::default()
    };
    stages.sort_by_key(|(index, _)| std::cmp::Reverse(*index));
    let globals = Globals::new(file);
    let (mut names, mut secrets, mut agents) = (HashSet::new(), HashSet::new(), HashSet::new());
    for (_, parameters) in stages {
        for argument in parameters.arguments.into_iter().rev() {
            if names.insert(argument.name.clone()) {
                outline.arguments.push(argument);
            }
        }
        for name in globals.with_dependencies(&parameters.global, arguments) {
            if let Some((arg, _)) = globals.last.get(name.as_str())
                && names.insert(name.clone())
            {
                outline.arguments.push(Argument {
                    value: arguments.global.value(&name).map(str::to_owned),
                    description: description(&arg.comments, &name),
                    name,
                    span: arg.span,
                });
            }
        }
        let fresh = parameters.secrets.into_iter().filter(|secret| secrets.insert(secret.id.clone()));
        outline.secrets.extend(fresh);
        let fresh = parameters.agents.into_iter().filter(|agent| agents.insert(agent.id.clone()));
        outline.agents.extend(fresh);
    }
    outline.arguments.sort_by_key(|argument| argument.span);
    outline.secrets.sort_by_key(|secret| secret.span);
    outline.agents.sort_by_key(|agent| agent.span);
    outline
}

/// The ARGs before the first FROM.
struct Globals<'a> {
    escape: char,
    last: HashMap<&'a str, (&'a GlobalArg, &'a ArgItem)>,
}

impl<'a> Globals<'a> {
    fn new(file: &'a Dockerfile) -> Self {
        let items = file.global_args.iter().flat_map(|arg| arg.items.iter().map(move |item| (arg, item)));
        let last = items.map(|(arg, item)| (item.name.value.as_str(), (arg, item))).collect();
        Self { escape: file.directives.escape_char(), last }
    }

    /// The names, and those that their defaults use.
    fn with_dependencies(&self, names: &BTreeSet<String>, arguments: &Arguments) -> BTreeSet<String> {
        let budget = Budget::default();
        let mut all = BTreeSet::new();
        let mut pending: Vec<String> = names.iter().cloned().collect();
        while let Some(name) = pending.pop() {
            let default = self.last.get(name.as_str()).and_then(|(_, item)| item.default.as_ref());
            let given = arguments.given.contains_key(&name);
            if all.insert(name)
                && !given
                && let Some(default) = default
            {
                pending.extend(from::expand(default, &arguments.global, self.escape, &budget).found);
            }
        }
        all
    }
}
