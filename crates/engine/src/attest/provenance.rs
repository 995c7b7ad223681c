//! How an image was built, as a SLSA provenance: the layout that BuildKit writes, so that its readers find things.
//!
//! There are no times, no random numbers and no paths of this machine in it: the same input gives the same bytes. Values
//! of secrets and proxies are never known here. Source: SLSA provenance 0.2 and 1.0, BuildKit
//! `solver/llbsolver/provenance/types`.

use std::collections::BTreeMap;

use base64::Engine as _;
use jettison_plan::{Action, MountKind, NamedContext, Network, remote};
use jettison_sandbox::Limit;
use serde_json::{Map, Value, json};

use super::{Material, Provenance, Slsa};
use crate::build::Build;
use crate::request::ContextSource;

/// What the parameters mean: docs/attestations.md.
const BUILD_TYPE: &str = "urn:jettison:build:v1";
const FRONTEND: &str = "dockerfile.v0";
/// Build arguments that are settings of a machine, and may hold passwords.
const PROXIES: [&str; 5] = ["http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy"];

impl Build<'_> {
    /// Type and content of the predicate.
    pub(super) fn provenance(&self, wanted: &Provenance) -> (&'static str, Value) {
        match wanted.version {
            Slsa::V1 => ("https://slsa.dev/provenance/v1", self.v1(wanted)),
            Slsa::V02 => ("https://slsa.dev/provenance/v0.2", self.v02(wanted)),
        }
    }

    fn v1(&self, wanted: &Provenance) -> Value {
        let mut internal = json!({"builderPlatform": jettison_oci::Platform::host().to_string()});
        let mut metadata = json!({
            "buildkit_completeness": {
                "request": wanted.max || !self.has_arguments(),
                "resolvedDependencies": !self.has_local_files(),
            },
        });
        if wanted.reproducible {
            metadata["buildkit_reproducible"] = json!(true);
        }
        if self.is_hermetic() {
            metadata["buildkit_hermetic"] = json!(true);
        }
        metadata["buildkit_metadata"] = if wanted.max { self.source() } else { json!({}) };
        if wanted.max {
            internal["buildConfig"] = self.steps();
        }
        let mut definition = json!({
            "buildType": BUILD_TYPE,
            "externalParameters": {"configSource": self.config_source(), "request": self.parameters(wanted.max)},
            "internalParameters": internal,
        });
        let materials = self.materials();
        if !materials.is_empty() {
            definition["resolvedDependencies"] = materials.iter().map(Material::json).collect();
        }
        json!({
            "buildDefinition": definition,
            "runDetails": {"builder": {"id": wanted.builder_id}, "metadata": metadata},
        })
    }

    fn v02(&self, wanted: &Provenance) -> Value {
        let mut metadata = json!({
            "completeness": {
                "parameters": wanted.max || !self.has_arguments(),
                "environment": true,
                "materials": !self.has_local_files(),
            },
            "reproducible": wanted.reproducible,
        });
        let source = if wanted.max { self.source() } else { json!({}) };
        metadata["https://mobyproject.org/buildkit@v1#metadata"] = source;
        if self.is_hermetic() {
            metadata["https://mobyproject.org/buildkit@v1#hermetic"] = json!(true);
        }
        let mut config_source = self.config_source();
        if let Some(path) = config_source.as_object_mut().and_then(|source| source.remove("path")) {
            config_source["entryPoint"] = path;
        }
        let mut predicate = json!({
            "builder": {"id": wanted.builder_id},
            "buildType": BUILD_TYPE,
            "invocation": {
                "configSource": config_source,
                "parameters": self.parameters(wanted.max),
                "environment": {"platform": jettison_oci::Platform::host().to_string()},
            },
            "metadata": metadata,
        });
        let materials = self.materials();
        if !materials.is_empty() {
            predicate["materials"] = materials.iter().map(Material::json).collect();
        }
        if wanted.max {
            predicate["buildConfig"] = self.steps();
        }
        predicate
    }

    fn has_local_files(&self) -> bool {
        let is_local = |context: &ContextSource| match context {
            ContextSource::Folder(_) => true,
            ContextSource::Fetched(fetched) => fetched.origin.is_none(),
            ContextSource::Empty => false,
        };
        is_local(&self.request.context) || self.request.named_contexts.values().any(is_local)
    }

    /// Whether there is anything among the parameters that the least does not tell. Source: BuildKit
    /// `solver/llbsolver/provenance.go`.
    fn has_arguments(&self) -> bool {
        self.build_args().next().is_some() || !self.request.plan.labels.is_empty()
    }

    /// Build arguments that may be told.
    fn build_args(&self) -> impl Iterator<Item = &(String, String)> {
        let is_told = |name: &str| !PROXIES.contains(&name.to_ascii_lowercase().as_str());
        self.request.plan.build_args.iter().filter(move |(name, _)| is_told(name))
    }

    /// Whether nothing could come in but what is listed: no local files, no network for any step.
    fn is_hermetic(&self) -> bool {
        let is_offline = |action: &Action| match action {
            Action::Run(run) => run.network == Network::None,
            Action::Copy(_) | Action::Workdir(_) => true,
        };
        !self.has_local_files() && self.plan.steps.iter().all(|step| is_offline(&step.action))
    }

    /// The Dockerfile, and the repository or URL that it came from.
    fn config_source(&self) -> Value {
        let mut source = json!({"path": self.dockerfile_name()});
        if let ContextSource::Fetched(fetched) = &self.request.context
            && let Some(material) = &fetched.origin
        {
            source["uri"] = json!(material.uri);
            source["digest"] = material.digest();
        }
        source
    }

    /// Never the path of a folder on this machine.
    fn dockerfile_name(&self) -> String {
        let name = &self.request.dockerfile.name;
        if name.contains("://") {
            return remote::redacted(name);
        }
        let is_inside = !name.starts_with('/') && !name.split('/').any(|part| part == "..");
        let last = name.rsplit('/').next().unwrap_or(name);
        if is_inside { name.clone() } else { last.to_owned() }
    }

    /// What was asked for.
    fn parameters(&self, max: bool) -> Value {
        let options = &self.request.plan;
        let mut arguments = self.settings();
        if max {
            arguments
                .extend(self.build_args().map(|(name, value)| (format!("build-arg:{name}"), json!(value))));
            arguments
                .extend(options.labels.iter().map(|(name, value)| (format!("label:{name}"), json!(value))));
        }
        for (name, context) in &options.contexts {
            arguments.insert(format!("context:{name}"), json!(self.named_context(name, context)));
        }
        let mut parameters = json!({"frontend": FRONTEND});
        if !arguments.is_empty() {
            parameters["args"] = arguments.into();
        }
        if let ContextSource::Folder(_) = &self.request.context {
            let named = self.request.named_contexts.iter();
            let folders = named.filter(|(_, context)| matches!(context, ContextSource::Folder(_)));
            let names = ["context", "dockerfile"].into_iter().chain(folders.map(|(name, _)| name.as_str()));
            parameters["locals"] = names.map(|name| json!({"name": name})).collect();
        }
        if max {
            let (secrets, agents) = self.secret_ids();
            let entry = |(id, optional)| {
                if optional { json!({"id": id, "optional": true}) } else { json!({"id": id}) }
            };
            for (name, ids) in [("secrets", secrets), ("ssh", agents)] {
                if !ids.is_empty() {
                    parameters[name] = ids.into_iter().map(entry).collect();
                }
            }
        }
        parameters
    }

    /// What a name of `--build-context` stands for. The place of a folder is this machine's business.
    fn named_context(&self, name: &str, context: &NamedContext) -> String {
        match context {
            NamedContext::Folder => match self.request.named_contexts.get(name) {
                Some(ContextSource::Fetched(fetched)) if let Some(material) = &fetched.origin => {
                    material.asked.clone()
                }
                _ => format!("local:{name}"),
            },
            NamedContext::Scratch => "docker-image://scratch".to_owned(),
            NamedContext::Image(image) => format!("docker-image://{}", image.familiar()),
            NamedContext::Stage(stage) => format!("target:{stage}"),
        }
    }

    /// Flags that the result depends on, as BuildKit's client hands them to its frontend. Source: buildx `build/opt.go`;
    /// what of them a provenance shows, BuildKit `solver/llbsolver/provenance/predicate.go` (filterArgs).
    fn settings(&self) -> Map<String, Value> {
        let request = self.request;
        let joined = |texts: Vec<String>| (!texts.is_empty()).then(|| texts.join(","));
        let limit = |limit: &Limit| {
            let text = |value: Option<u64>| value.map_or("-1".to_owned(), |value| value.to_string());
            format!("{}={}:{}", limit.name, text(limit.soft), text(limit.hard))
        };
        let hosts = request.extra_hosts.iter().map(|(name, address)| format!("{name}={address}"));
        let network = match request.plan.network {
            Network::Default => None,
            Network::None => Some("none".to_owned()),
            Network::Host => Some("host".to_owned()),
        };
        let all = [
            ("add-hosts", joined(hosts.collect())),
            ("force-network-mode", network),
            ("shm-size", request.shm_bytes.map(|bytes| bytes.to_string())),
            ("target", request.plan.target.clone()),
            ("ulimit", joined(request.limits.iter().map(limit).collect())),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), json!(value?)))).collect()
    }

    /// Ids of secrets and agents that steps ask for or that Git may use, and whether they may be missing. Never a value.
    fn secret_ids(&self) -> (BTreeMap<String, bool>, BTreeMap<String, bool>) {
        let (mut secrets, mut agents) = (BTreeMap::new(), BTreeMap::new());
        for step in &self.plan.steps {
            let Action::Run(run) = &step.action else { continue };
            for mount in &run.mounts {
                match &mount.kind {
                    MountKind::Secret { id, required, .. } => {
                        *secrets.entry(id.clone()).or_insert(true) &= !required;
                    }
                    MountKind::Ssh { id, required, .. } => {
                        *agents.entry(id.clone()).or_insert(true) &= !required;
                    }
                    _ => {}
                }
            }
        }
        for means in self.materials().iter().map(|material| material.means) {
            for id in means.secrets {
                secrets.entry((*id).to_owned()).or_insert(true);
            }
            for id in means.agents {
                agents.entry((*id).to_owned()).or_insert(true);
            }
        }
        (secrets, agents)
    }

    /// Base images, URLs and repositories, with what they held.
    fn materials(&self) -> Vec<Material> {
        let mut materials: Vec<Material> = Vec::new();
        for (planned, image) in self.plan.images.iter().zip(&self.bases) {
            let digest = image.index.as_ref().map_or(&image.descriptor.digest, |index| &index.digest);
            materials.push(Material::of_image(&planned.reference, &planned.platform, digest));
        }
        for step in &self.plan.steps {
            let Action::Copy(copy) = &step.action else { continue };
            let known = copy.remotes.iter().filter_map(|source| {
                Some(Material::of_remote(&source.remote, &self.remotes.known(&source.remote)?))
            });
            materials.extend(known);
        }
        let contexts = std::iter::once(&self.request.context).chain(self.request.named_contexts.values());
        materials.extend(contexts.filter_map(|context| match context {
            ContextSource::Fetched(fetched) => fetched.origin.clone(),
            _ => None,
        }));
        materials.sort_by(|a, b| (&a.uri, &a.hex).cmp(&(&b.uri, &b.hex)));
        materials.dedup();
        materials
    }

    /// The steps of the plan, by the names that people see.
    fn steps(&self) -> Value {
        json!({"steps": self.plan.steps.iter().map(|step| json!({"name": step.name})).collect::<Value>()})
    }

    /// The text of the Dockerfile.
    fn source(&self) -> Value {
        let data = base64::engine::general_purpose::STANDARD.encode(&self.request.dockerfile.text);
        json!({"source": {"infos": [
            {"filename": self.dockerfile_name(), "language": "Dockerfile", "data": data},
        ]}})
    }
}
