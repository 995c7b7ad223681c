//! `RUN --mount`: expansion of the values, and the defaults that depend on the stage.
//!
//! Source: BuildKit `dockerfile2llb/convert_runmount.go`, `convert_secrets.go`, `convert_ssh.go`.

use jettison_dockerfile::mount::{self, MountType, RawMount};
use jettison_dockerfile::{Diagnostic, Span, Word};

use crate::draft::Draft;
use crate::graph::{Action, Copy, Fs, Mount, MountKind, Sharing, Source};
use crate::path;
use crate::planner::{At, Planner};

/// Mode of a cache directory unless `mode=` says otherwise.
const CACHE_MODE: u32 = 0o755;
/// Mode of a secret file.
const SECRET_MODE: u32 = 0o400;
/// Mode of an agent's socket.
const SSH_MODE: u32 = 0o600;

impl Planner<'_> {
    /// The mounts of one RUN, in order. Of two with the same target the last wins, at the place of the first.
    pub(crate) fn mounts(
        &mut self,
        draft: &Draft,
        words: &[Word],
        at: At<'_>,
    ) -> Result<Vec<Mount>, Diagnostic> {
        let mut mounts: Vec<Mount> = Vec::new();
        for word in words {
            let expander = self.expander(draft, at);
            let span = expander.span(word.span);
            let raw = expander.mount(word)?;
            let agents = mounts.iter().filter(|m| matches!(m.kind, MountKind::Ssh { .. })).count();
            let mount = self.mount(draft, &raw, agents, span)?;
            match mounts.iter_mut().find(|m| m.target == mount.target && !m.target.is_empty()) {
                Some(same) => *same = mount,
                None => mounts.push(mount),
            }
        }
        Ok(mounts)
    }

    fn mount(
        &mut self,
        draft: &Draft,
        raw: &RawMount,
        agents: usize,
        span: Span,
    ) -> Result<Mount, Diagnostic> {
        let invalid = |message: String| Diagnostic::error("mount", message, span);
        let place = |target: &str| path::absolute(&draft.working_directory(), target);
        let mut target = place(raw.target.as_deref().unwrap_or_default());
        let (uid, gid) = (raw.uid.unwrap_or(0), raw.gid.unwrap_or(0));
        let kind = match raw.mount_type {
            MountType::Bind => MountKind::Bind {
                from: self.mount_source(draft, raw, &target, span)?.unwrap_or(Source::Context),
                path: source_path(raw),
                writable: !raw.read_only,
            },
            MountType::Cache => MountKind::Cache {
                id: self.cache_id(raw),
                from: self.cache_base(draft, raw, &target, span)?,
                path: source_path(raw),
                sharing: match raw.sharing {
                    mount::Sharing::Shared => Sharing::Shared,
                    mount::Sharing::Private => Sharing::Private,
                    mount::Sharing::Locked => Sharing::Locked,
                },
                mode: raw.mode.unwrap_or(CACHE_MODE),
                uid,
                gid,
                read_only: raw.read_only,
            },
            MountType::Tmpfs => MountKind::Tmpfs { size: raw.size_bytes },
            MountType::Secret => {
                let id = secret_id(raw).ok_or_else(|| {
                    invalid("invalid secret mount. one of source, target required".to_owned())
                })?;
                let file = raw.env.is_none() || raw.target.is_some();
                target = match &raw.target {
                    Some(target) => place(target),
                    None if file => format!("/run/secrets/{}", path::base_name(&id)),
                    None => String::new(),
                };
                let mode = raw.mode.unwrap_or(SECRET_MODE);
                MountKind::Secret { id, file, env: raw.env.clone(), required: raw.required, mode, uid, gid }
            }
            MountType::Ssh => {
                if raw.target.is_none() {
                    target = format!("/run/buildkit/ssh_agent.{agents}");
                }
                let id = raw.id.clone().filter(|id| !id.is_empty()).unwrap_or_else(|| "default".to_owned());
                MountKind::Ssh { id, required: raw.required, mode: raw.mode.unwrap_or(SSH_MODE), uid, gid }
            }
        };
        if target == "/" {
            return Err(invalid(format!("invalid mount target {target:?}")));
        }
        Ok(Mount { target, kind, span })
    }

    fn mount_source(
        &mut self,
        draft: &Draft,
        raw: &RawMount,
        target: &str,
        span: Span,
    ) -> Result<Option<Source>, Diagnostic> {
        let Some(name) = raw.from.as_deref().filter(|name| !name.is_empty()) else { return Ok(None) };
        let late = || {
            format!(
                "cannot mount from stage {name:?} to {target:?}, stage needs to be defined before current command"
            )
        };
        self.source(draft, name, span, late).map(Some)
    }

    fn cache_base(
        &mut self,
        draft: &Draft,
        raw: &RawMount,
        target: &str,
        span: Span,
    ) -> Result<Option<Fs>, Diagnostic> {
        match self.mount_source(draft, raw, target, span)? {
            None | Some(Source::Fs(Fs::Scratch)) => Ok(None),
            Some(Source::Fs(fs)) => Ok(Some(fs)),
            Some(from @ (Source::Context | Source::NamedContext(_))) => {
                Ok(Some(self.folder_files(draft, from, span)))
            }
        }
    }

    /// The files of a folder as a stage on it would begin with them: the result of a step of its own.
    fn folder_files(&mut self, draft: &Draft, from: Source, span: Span) -> Fs {
        let name = match &from {
            Source::NamedContext(name) => format!("load context {name} for a cache"),
            _ => "load the context for a cache".to_owned(),
        };
        let mut copy = Copy::plain(from, vec![("/".to_owned(), span)], "/");
        copy.no_cache = self.no_cache(draft);
        let mut folder = Draft::on_scratch(draft.index, &draft.platform);
        folder.id = draft.id;
        let step = self.add_step(&mut folder, Action::Copy(copy), span, String::new());
        self.steps[step].name = name;
        Fs::Step(step)
    }

    /// `id=`, by default the cleaned target, below the name space of the build.
    fn cache_id(&self, raw: &RawMount) -> String {
        let by_target = || path::clean(raw.target.as_deref().unwrap_or_default());
        let id = raw.id.clone().filter(|id| !id.is_empty()).unwrap_or_else(by_target);
        match self.arguments.given.get("BUILDKIT_CACHE_MOUNT_NS") {
            Some(space) if !space.is_empty() => format!("{space}/{id}"),
            _ => id,
        }
    }
}

fn source_path(raw: &RawMount) -> String {
    path::absolute("/", raw.source.as_deref().unwrap_or_default())
}

/// The id of a secret as written, else the file name of its target.
pub(crate) fn secret_id(raw: &RawMount) -> Option<String> {
    let written = raw.source.as_ref().or(raw.id.as_ref()).filter(|id| !id.is_empty());
    let by_target = || raw.target.as_deref().filter(|target| !target.is_empty()).map(path::base_name);
    written.cloned().or_else(by_target)
}

/// The fields of a CSV record. Mistakes are passed over; [`mount::parse_expanding`] complains about them.
fn fields_of(record: &str) -> Vec<String> {
    let mut fields = Vec::new();
    let mut field = String::new();
    let mut quoted = false;
    let mut chars = record.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if field.is_empty() => quoted = true,
            ',' if !quoted => fields.push(std::mem::take(&mut field)),
            c => field.push(c),
        }
    }
    fields.push(field);
    fields
}

/// Where a mount reads from, as far as the text tells: the value of `from=`, or `scratch` for a cache.
pub(crate) fn written_source(csv: &str) -> Option<String> {
    let mut from = None;
    let mut is_cache = false;
    for field in fields_of(csv) {
        if let Some((key, value)) = field.split_once('=') {
            match key.to_ascii_lowercase().as_str() {
                "from" => from = Some(value.to_owned()),
                "type" => is_cache = value.eq_ignore_ascii_case("cache"),
                _ => {}
            }
        }
    }
    from.or_else(|| is_cache.then(|| crate::resolve::SCRATCH.to_owned()))
}
