//! The instructions of a stage: what they use, set and declare.

use std::collections::BTreeSet;

use jettison_dockerfile::lint::{
    Linter, Site, copy_ignored_file, copy_ignored_file::Copier, expose_invalid_format, expose_proto_casing,
    invalid_base_image_platform, json_args_recommended, legacy_key_value_format,
    multiple_instructions_disallowed, secrets_used_in_arg_or_env, undefined_var, workdir_relative_path,
};
use jettison_dockerfile::mount::{MountType, RawMount};
use jettison_dockerfile::{ArgItem, CopyCommon, Diagnostic, From, KeyValue, Kind, Span, Word, parse_onbuild};

use super::Survey;
use super::from;
use super::outline::{Agent, Argument, Secret, description};
use super::scope::Scope;
use super::watch::{Budget, Watch};
use crate::arguments::{Arguments, NOT_IN_ENVIRONMENT};
use crate::draft::DEFAULT_PATH;
use crate::environment::Expander;
use crate::mounts;
use crate::remote::Remote;
use crate::resolve::{Base, Names};

/// ONBUILD triggers that are looked at in a whole file: every stage on a base runs all of the base's.
const TRIGGERS_MAX: usize = 10_000;

/// Among more variables than these no similar name is looked for.
const SUGGESTIONS_MAX: usize = 1000;

/// What a stage takes from outside.
#[derive(Debug, Default)]
pub(super) struct Parameters {
    /// Global arguments that FROM uses, and those that an ARG without value refers to.
    pub(super) global: BTreeSet<String>,
    pub(super) arguments: Vec<Argument>,
    pub(super) secrets: Vec<Secret>,
    pub(super) agents: Vec<Agent>,
}

/// One pass over the stages.
pub(super) struct Walk<'a> {
    survey: &'a Survey<'a>,
    arguments: &'a Arguments,
    names: &'a Names<'a>,
    linter: &'a mut Linter,
    budget: Budget,
    triggers_left: usize,
}

/// The instruction at hand.
struct At<'i> {
    /// The keyword as written, and its place.
    keyword: (&'i str, Span),
    comments: &'i [String],
    site: Site,
    /// The place that all words have, for ONBUILD triggers.
    place: Option<Span>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        survey: &'a Survey<'a>,
        arguments: &'a Arguments,
        names: &'a Names<'a>,
        linter: &'a mut Linter,
    ) -> Self {
        Self { survey, arguments, names, linter, budget: Budget::default(), triggers_left: TRIGGERS_MAX }
    }

    /// Looks at a stage; `scope` is that of the stage below it, or empty.
    pub(super) fn stage(&mut self, index: usize, scope: &mut Scope) -> Parameters {
        let file = self.survey.file;
        let stage = &file.stages[index];
        let mut parameters = Parameters::default();
        for word in std::iter::once(&stage.from.image).chain(&stage.from.platform) {
            let escape = file.directives.escape_char();
            let used = from::expand(word, &self.arguments.global, escape, &self.budget).found;
            parameters.global.extend(used);
        }
        let triggers = self.begin(index, scope);
        if self.names.is_replaced(index) {
            return parameters;
        }
        let mut used = multiple_instructions_disallowed::Used::default();
        for trigger in triggers {
            self.trigger(&trigger, &stage.from, &mut used, scope, &mut parameters);
        }
        for instruction in &stage.instructions {
            let at = At {
                keyword: (instruction.written_keyword(), instruction.keyword),
                comments: &instruction.comments,
                site: Site::of(instruction),
                place: None,
            };
            self.instruction(&instruction.kind, &at, &mut used, scope, &mut parameters);
        }
        parameters
    }

    /// What the stage starts from; returns the triggers that run in it.
    fn begin(&mut self, index: usize, scope: &mut Scope) -> Vec<String> {
        let from = &self.survey.file.stages[index].from;
        let config = match self.names.base(index) {
            Ok(Base::Stage(base)) => {
                let below = &self.survey.file.stages[base].instructions;
                let triggers = below.iter().filter_map(|instruction| match &instruction.kind {
                    Kind::Onbuild(onbuild) => Some(onbuild.trigger.value.clone()),
                    _ => None,
                });
                return triggers.take(self.triggers_left).collect();
            }
            Ok(Base::Image(reference, platform)) => {
                let config = self.survey.images.get(&reference, &platform);
                if let Some(config) = config {
                    self.base_platform(from, config, &platform);
                }
                scope.state.base_known = config.is_some();
                config
            }
            Ok(Base::Scratch | Base::Folder(_)) => {
                scope.state.base_known = true;
                None
            }
            Err(_) => None,
        };
        scope.set("PATH", DEFAULT_PATH.to_owned());
        let Some(config) = config else { return Vec::new() };
        for entry in &config.config.env {
            let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
            scope.set(name, value.to_owned());
        }
        scope.state.shell_set = config.config.shell.as_ref().is_some_and(|shell| !shell.is_empty());
        config.config.on_build.iter().take(self.triggers_left).cloned().collect()
    }

    fn base_platform(
        &mut self,
        from: &From,
        config: &jettison_oci::ImageConfig,
        expected: &jettison_oci::Platform,
    ) {
        let empty = config.rootfs.diff_ids.is_empty() && config.history.iter().all(|entry| entry.empty_layer);
        let actual = config.platform();
        if empty
            || config.os.is_empty()
            || (&actual.os, &actual.architecture) == (&expected.os, &expected.architecture)
        {
            return;
        }
        let escape = self.survey.file.directives.escape_char();
        let image = from::expand(&from.image, &self.arguments.global, escape, &self.budget).text;
        let site = Site::new(from.span, &from.comments);
        invalid_base_image_platform::report(
            &image.unwrap_or_default(),
            &expected.to_string(),
            &actual.to_string(),
            from.image.span,
            &site,
            self.linter,
        );
    }

    /// A trigger of the base: all its words have the place of FROM. One that cannot be read is the planner's to report.
    fn trigger(
        &mut self,
        trigger: &str,
        from: &From,
        used: &mut multiple_instructions_disallowed::Used,
        scope: &mut Scope,
        parameters: &mut Parameters,
    ) {
        self.triggers_left = self.triggers_left.saturating_sub(1);
        let Ok((kind, text)) = parse_onbuild(trigger) else { return };
        let keyword = text.split_whitespace().next().unwrap_or_default();
        let at = At {
            keyword: (keyword, from.span),
            comments: &[],
            site: Site::new(from.span, &from.comments),
            place: Some(from.span),
        };
        self.instruction(&kind, &at, used, scope, parameters);
    }

    fn instruction(
        &mut self,
        kind: &Kind,
        at: &At<'_>,
        used: &mut multiple_instructions_disallowed::Used,
        scope: &mut Scope,
        parameters: &mut Parameters,
    ) {
        multiple_instructions_disallowed::check(at.keyword, kind, used, &at.site, self.linter);
        match kind {
            Kind::Arg(items) => self.arg(items, at, scope, parameters),
            Kind::Env(pairs) => {
                for (name, value, span) in self.pairs(pairs, at, scope) {
                    secrets_used_in_arg_or_env::check("ENV", &name, span, &at.site, self.linter);
                    scope.set(&name, value);
                }
            }
            Kind::Label(pairs) => drop(self.pairs(pairs, at, scope)),
            Kind::Copy(copy) => self.copy(Copier::Copy, &copy.common, copy.from.is_none(), at, scope),
            Kind::Add(add) => {
                self.copy(Copier::Add, &add.common, true, at, scope);
                add.checksum.iter().for_each(|word| drop(self.word(word, at, scope)));
            }
            Kind::Workdir(word) => {
                let path = self.word(word, at, scope);
                if !std::mem::replace(&mut scope.state.workdir_set, true) {
                    let span = at.place.unwrap_or(word.span);
                    workdir_relative_path::check(&path, span, &at.site, self.linter);
                }
            }
            Kind::User(word) | Kind::Stopsignal(word) => drop(self.word(word, at, scope)),
            Kind::Volume(words) => words.iter().for_each(|word| drop(self.word(word, at, scope))),
            Kind::Expose(words) => words.iter().for_each(|word| self.expose(word, at, scope)),
            Kind::Cmd(command) | Kind::Entrypoint(command) => {
                let shell_is_set = scope.state.shell_set;
                json_args_recommended::check(at.keyword, command, shell_is_set, &at.site, self.linter);
            }
            Kind::Shell(_) => scope.state.shell_set = true,
            Kind::Run(run) => {
                for word in &run.mounts {
                    let place = at.place.unwrap_or(word.span);
                    let mount = self.expanding(place, at, scope, |expander| expander.mount(word));
                    if let Some(mount) = mount {
                        parameters.mount(&mount, at.site.location);
                    }
                }
            }
            Kind::Healthcheck(_) | Kind::Maintainer(_) | Kind::Onbuild(_) => {}
        }
    }

    /// Expands something with the scope's variables, and reports those that it has not.
    fn expanding<T>(
        &mut self,
        span: Span,
        at: &At<'_>,
        scope: &Scope,
        expand: impl FnOnce(&Expander<'_>) -> Result<T, Diagnostic>,
    ) -> Option<T> {
        let escape = self.survey.file.directives.escape_char();
        let watch = Watch::new(scope, &self.budget);
        let expanded = expand(&Expander { environment: &watch, escape, place: None }).ok();
        let (_, missing) = watch.into_names();
        let of_interest = |name: &&String| {
            scope.state.base_known && !scope.is_declared(name) && !NOT_IN_ENVIRONMENT.contains(&name.as_str())
        };
        for name in missing.iter().filter(of_interest) {
            let few = scope.len() <= SUGGESTIONS_MAX;
            let mut known: Vec<&str> = scope.names().filter(|_| few).collect();
            known.sort_unstable();
            undefined_var::check(name, known.into_iter(), span, &at.site, self.linter);
        }
        expanded
    }

    /// A word; empty if it cannot be expanded, which the planner reports.
    fn word(&mut self, word: &Word, at: &At<'_>, scope: &Scope) -> String {
        let span = at.place.unwrap_or(word.span);
        self.expanding(span, at, scope, |expander| expander.word(word)).unwrap_or_default()
    }

    /// Names, values and the places of names, all expanded with the variables from before the instruction.
    fn pairs(&mut self, pairs: &[KeyValue], at: &At<'_>, scope: &Scope) -> Vec<(String, String, Span)> {
        legacy_key_value_format::check(at.keyword.0, pairs, &at.site, self.linter);
        let mut expand = |pair: &KeyValue| {
            let name = self.word(&pair.key, at, scope);
            (name, self.word(&pair.value, at, scope), at.place.unwrap_or(pair.key.span))
        };
        pairs.iter().map(&mut expand).collect()
    }

    /// ARG: each name sees the ones before it. A value from outside is taken as it is.
    fn arg(&mut self, items: &[ArgItem], at: &At<'_>, scope: &mut Scope, parameters: &mut Parameters) {
        for item in items {
            let name = self.word(&item.name, at, scope);
            let span = at.place.unwrap_or(item.name.span);
            secrets_used_in_arg_or_env::check("ARG", &name, span, &at.site, self.linter);
            let global = self.arguments.global.value(&name);
            let value = match (self.arguments.given.get(&name), &item.default) {
                (Some(given), _) => Some(given.clone()),
                (None, Some(default)) => Some(self.word(default, at, scope)),
                (None, None) => global.map(str::to_owned),
            };
            let inherited =
                global.is_some() && item.default.is_none() && !self.arguments.given.contains_key(&name);
            if inherited {
                parameters.global.insert(name.clone());
            } else {
                parameters.arguments.push(Argument {
                    description: description(at.comments, &name),
                    name: name.clone(),
                    value: value.clone(),
                    span: at.site.location,
                });
            }
            scope.declare(&name);
            if let Some(value) = value.filter(|_| !NOT_IN_ENVIRONMENT.contains(&name.as_str())) {
                scope.set(&name, value);
            }
        }
    }

    fn copy(&mut self, copier: Copier, common: &CopyCommon, of_context: bool, at: &At<'_>, scope: &Scope) {
        for word in common.chown.iter().chain(&common.chmod) {
            self.word(word, at, scope);
        }
        for word in &common.sources {
            let source = self.word(word, at, scope);
            if let Some(ignore) = self.survey.ignore
                && of_context
                && matches!(Remote::of_source(&source), Ok(None))
            {
                let span = at.place.unwrap_or(word.span);
                copy_ignored_file::check(copier, &source, ignore, span, &at.site, self.linter);
            }
        }
        for heredoc in common.heredocs.iter().filter(|heredoc| heredoc.expand) {
            let span = at.place.unwrap_or(heredoc.span);
            self.expanding(span, at, scope, |expander| expander.heredoc(heredoc));
        }
        self.word(&common.destination, at, scope);
    }

    /// BuildKit passes over undefined variables here.
    fn expose(&mut self, word: &Word, at: &At<'_>, scope: &Scope) {
        let escape = self.survey.file.directives.escape_char();
        let watch = Watch::new(scope, &self.budget);
        let ports = Expander { environment: &watch, escape, place: None }.words(word).unwrap_or_default();
        let span = at.place.unwrap_or(word.span);
        for port in ports {
            expose_proto_casing::check(&port, span, &at.site, self.linter);
            expose_invalid_format::check(&port, span, &at.site, self.linter);
        }
    }
}

impl Parameters {
    fn mount(&mut self, mount: &RawMount, span: Span) {
        let required = mount.required;
        match mount.mount_type {
            MountType::Secret => {
                let id = mounts::secret_id(mount).unwrap_or_default();
                self.secrets.push(Secret { id, required, span });
            }
            MountType::Ssh => {
                let id = mount.id.clone().unwrap_or_else(|| "default".to_owned());
                self.agents.push(Agent { id, required, span });
            }
            _ => {}
        }
    }
}
