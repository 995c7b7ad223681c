//! What a stage has accumulated so far, from its base to the instruction at hand.

use jettison_oci::{ImageConfig, Platform, RootFs};

use crate::environment::Environment;
use crate::graph::{Fs, HistoryEntry, Places, Stage, StageId, StepId};

/// PATH of images that say nothing (BuildKit `util/system` DefaultPathEnvUnix).
pub(crate) const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Key under which BuildKit hides its inline cache in a config; it is void for whatever is built on top.
const INLINE_CACHE_KEY: &str = "moby.buildkit.cache.v0";

/// A stage in the making.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    /// Position in the Dockerfile.
    pub(crate) index: usize,
    /// Position in the plan.
    pub(crate) id: StageId,
    /// What its processes run on.
    pub(crate) platform: Platform,
    /// The base image is not known yet, so nothing of this stage is.
    pub(crate) blocked: bool,
    /// Whether the base is an image with files: people count its FROM as a step.
    pub(crate) counts_from: bool,
    pub(crate) base: Fs,
    pub(crate) result: Fs,
    /// The config, but for its variables.
    pub(crate) config: ImageConfig,
    /// The config's variables.
    pub(crate) image_environment: Environment,
    /// What words and RUN see: the config's variables and the arguments, the last definition winning.
    pub(crate) environment: Environment,
    /// Declared arguments in order, repeated ones too.
    pub(crate) arguments: Vec<(String, Option<String>)>,
    pub(crate) history: Vec<HistoryEntry>,
    /// Steps of this stage, with the text of their names.
    pub(crate) steps: Vec<(StepId, String)>,
    /// Whether this very stage has set CMD.
    pub(crate) cmd_set: bool,
    /// The instructions that the config comes from.
    pub(crate) places: Places,
}

impl Draft {
    /// A stage on an image. The trigger texts of the image are returned: they run here and are not inherited.
    pub(crate) fn on_image(
        index: usize,
        base: Fs,
        mut config: ImageConfig,
        platform: &Platform,
    ) -> (Self, Vec<String>) {
        config.created = None;
        config.rootfs = RootFs::default();
        config.extra.remove(INLINE_CACHE_KEY);
        let mut image_environment = Environment::from_entries(&config.config.env);
        if image_environment.value("PATH").is_none() {
            image_environment.set("PATH", DEFAULT_PATH);
        }
        let triggers = std::mem::take(&mut config.config.on_build);
        let draft = Self {
            index,
            id: 0,
            platform: platform.clone(),
            blocked: false,
            counts_from: matches!(base, Fs::Image(_)),
            base,
            result: base,
            config,
            environment: image_environment.clone(),
            image_environment,
            arguments: Vec::new(),
            history: Vec::new(),
            steps: Vec::new(),
            cmd_set: false,
            places: Places::default(),
        };
        (draft, triggers)
    }

    /// A stage on nothing.
    pub(crate) fn on_scratch(index: usize, platform: &Platform) -> Self {
        let mut config = ImageConfig {
            architecture: platform.architecture.clone(),
            os: platform.os.clone(),
            os_version: platform.os_version.clone(),
            os_features: platform.os_features.clone(),
            variant: platform.variant.clone(),
            ..ImageConfig::default()
        };
        "/".clone_into(&mut config.config.working_dir);
        Self::on_image(index, Fs::Scratch, config, platform).0
    }

    /// A stage of which nothing can be said yet.
    pub(crate) fn blocked(index: usize, platform: &Platform) -> Self {
        Self { blocked: true, ..Self::on_scratch(index, platform) }
    }

    /// A stage on this one, and the triggers that run in it.
    pub(crate) fn child(&self, index: usize) -> (Self, Vec<String>) {
        let mut child = Self {
            index,
            counts_from: false,
            base: self.result,
            steps: Vec::new(),
            cmd_set: false,
            ..self.clone()
        };
        let triggers = std::mem::take(&mut child.config.config.on_build);
        (child, triggers)
    }

    /// Drops what stages on this one inherit only to pass it on: copying it would make a long chain of stages slow. The
    /// room that it took goes, too.
    pub(crate) fn forget_past(&mut self) {
        self.history = Vec::new();
        self.steps = Vec::new();
        self.config.config.labels.clear();
        self.config.config.exposed_ports.clear();
        self.places = Places::default();
    }

    /// Sets a variable of the image.
    pub(crate) fn set_variable(&mut self, name: &str, value: &str) {
        self.image_environment.set(name, value);
        self.environment.set(name, value);
    }

    /// The working directory, absolute and clean.
    pub(crate) fn working_directory(&self) -> String {
        crate::path::absolute("/", &self.config.config.working_dir)
    }

    /// `text` behind the shell of the stage.
    pub(crate) fn with_shell(&self, text: &str) -> Vec<String> {
        let mut argv = match &self.config.config.shell {
            Some(shell) if !shell.is_empty() => shell.clone(),
            _ => vec!["/bin/sh".to_owned(), "-c".to_owned()],
        };
        argv.push(text.to_owned());
        argv
    }

    pub(crate) fn record(&mut self, created_by: String, step: Option<StepId>) {
        self.history.push(HistoryEntry { created_by, step });
    }

    pub(crate) fn finish(self, from: &jettison_dockerfile::From) -> Stage {
        let mut config = self.config;
        config.config.env = self.image_environment.to_entries();
        Stage {
            index: self.index,
            name: from.name.as_ref().map(|name| name.value.clone()),
            span: from.span,
            base: self.base,
            result: self.result,
            steps: self.steps.into_iter().map(|(step, _)| step).collect(),
            config,
            history: self.history,
            places: self.places,
        }
    }
}
