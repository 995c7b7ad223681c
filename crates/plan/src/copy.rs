//! COPY and ADD: what is selected from where, and where it goes.
//!
//! Source: BuildKit `dockerfile2llb/convert_copy.go`.

use jettison_dockerfile::{self as ast, CopyCommon, Diagnostic};

use crate::draft::Draft;
use crate::graph::{Action, Copy, Position, RemoteSource, Source};
use crate::planner::{At, Planner};
use crate::remote::{self, Remote};
use crate::{file_mode, path, step_name};

impl Planner<'_> {
    pub(crate) fn copy(&mut self, draft: &mut Draft, copy: &ast::Copy, at: At<'_>) -> Result<(), Diagnostic> {
        let from = match &copy.from {
            None => Source::Context,
            Some(word) => {
                let expander = self.expander(draft, at);
                let (name, span) = (expander.word(word)?, expander.span(word.span));
                self.copy_source(draft, &name, span)?
            }
        };
        let mut planned = self.selection(draft, "COPY", &copy.common, from, at)?;
        planned.parents = copy.parents;
        self.record_copy(draft, "COPY", &copy.common, planned, at)
    }

    pub(crate) fn add(&mut self, draft: &mut Draft, add: &ast::Add, at: At<'_>) -> Result<(), Diagnostic> {
        let mut planned = self.selection(draft, "ADD", &add.common, Source::Context, at)?;
        planned.unpack = add.unpack.unwrap_or(true);
        if let Some(checksum) = &add.checksum {
            let expander = self.expander(draft, at);
            let (text, span) = (expander.word(checksum)?, expander.span(checksum.span));
            if !text.is_empty() {
                set_checksum(&mut planned, &text, span)?;
            }
        }
        for source in &mut planned.remotes {
            source.unpack = add.unpack.unwrap_or(false);
            if let (Remote::Git(git), Some(keep)) = (&mut source.remote, add.keep_git_dir) {
                let conflict = |message| Diagnostic::error("copy", message, source.span);
                git.set_keep_git_dir(keep).map_err(conflict)?;
            }
        }
        self.record_copy(draft, "ADD", &add.common, planned, at)
    }

    fn copy_source(&mut self, draft: &Draft, name: &str, span: ast::Span) -> Result<Source, Diagnostic> {
        if name.is_empty() {
            return Ok(Source::Context);
        }
        let current = self.names.stage_name(draft.index);
        self.source(draft, name, span, || {
            format!(
                "cannot copy from stage {name:?}, it needs to be defined before current stage {current:?}"
            )
        })
    }

    /// Expands what COPY and ADD share.
    fn selection(
        &self,
        draft: &Draft,
        keyword: &str,
        common: &CopyCommon,
        from: Source,
        at: At<'_>,
    ) -> Result<Copy, Diagnostic> {
        let expander = self.expander(draft, at);
        let (mut sources, mut remotes) = (Vec::new(), Vec::new());
        for word in &common.sources {
            let (source, span) = (expander.word(word)?, expander.span(word.span));
            let remote =
                Remote::of_source(&source).map_err(|message| Diagnostic::error("copy", message, span))?;
            match remote {
                None => sources.push((source, span)),
                Some(remote) if keyword == "COPY" => return Err(not_for_copy(&remote, span)),
                Some(remote) => remotes.push(RemoteSource {
                    remote,
                    locals_before: sources.len(),
                    unpack: false,
                    span,
                    checksum_span: span,
                }),
            }
        }
        let mut inline = Vec::new();
        for heredoc in &common.heredocs {
            let span = expander.span(heredoc.span);
            if heredoc.name.contains('/') {
                let message = format!(
                    "the name of a heredoc is a file name, it must not contain a slash: {}",
                    heredoc.name
                );
                return Err(Diagnostic::error("copy", message, span));
            }
            let body = if heredoc.expand { expander.heredoc(heredoc)? } else { heredoc.body.clone() };
            inline.push((heredoc.name.clone(), body));
        }
        let chown = common.chown.as_ref().map(|word| expander.word(word)).transpose()?;
        let chmod = match &common.chmod {
            None => None,
            Some(word) => match expander.word(word)? {
                text if text.is_empty() => None,
                text => Some(
                    file_mode::parse(&text)
                        .map_err(|message| Diagnostic::error("value", message, expander.span(word.span)))?,
                ),
            },
        };
        let destination = expander.word(&common.destination)?;
        Ok(Copy {
            from,
            sources,
            remotes,
            inline,
            destination: path::destination(&draft.working_directory(), &destination),
            chown: chown.filter(|owner| !owner.is_empty()),
            excludes: common.excludes.iter().map(|pattern| pattern.value.clone()).collect(),
            parents: false,
            // BuildKit does an ordinary copy when a mode is given, and the result differs.
            link: common.link && chmod.is_none(),
            chmod,
            unpack: false,
            no_cache: self.no_cache(draft),
        })
    }

    fn record_copy(
        &mut self,
        draft: &mut Draft,
        keyword: &str,
        common: &CopyCommon,
        mut planned: Copy,
        at: At<'_>,
    ) -> Result<(), Diagnostic> {
        let expander = self.expander(draft, at);
        let mut words = vec![keyword.to_owned()];
        words.extend(planned.parents.then(|| "--parents".to_owned()));
        words.extend(planned.chown.iter().map(|owner| format!("--chown={owner}")));
        if let (Some(_), Some(mode)) = (&planned.chmod, &common.chmod) {
            words.push(format!("--chmod={}", expander.word(mode)?));
        }
        words.extend(planned.in_order().into_iter().map(|position| match position {
            Position::Local(index) => planned.sources[index].0.clone(),
            Position::Remote(index) => planned.remotes[index].remote.shown(),
        }));
        words.extend(planned.inline.iter().map(|(name, _)| format!("<<{name}")));
        words.push(expander.word(&common.destination)?);
        // A source that expands to nothing is the root of what is copied from.
        for (source, _) in planned.sources.iter_mut().filter(|(source, _)| source.is_empty()) {
            "/".clone_into(source);
        }
        let mut text = step_name::text(at.text, expander.escape, &draft.environment);
        if !planned.remotes.is_empty() {
            text = text.split(' ').map(remote::redacted).collect::<Vec<_>>().join(" ");
        }
        let step = self.add_step(draft, Action::Copy(planned), at.span, text);
        draft.record(format!("{} # buildkit", words.join(" ")), Some(step));
        Ok(())
    }
}

/// `--checksum` is for one remote source.
fn set_checksum(planned: &mut Copy, text: &str, span: ast::Span) -> Result<(), Diagnostic> {
    let invalid = |message: String| Diagnostic::error("copy", message, span);
    let source = match &mut planned.remotes[..] {
        [source] if planned.sources.is_empty() && planned.inline.is_empty() => source,
        [] if planned.sources.len() == 1 && planned.inline.is_empty() => {
            return Err(invalid("checksum requires HTTP(S) or Git sources".to_owned()));
        }
        _ => return Err(invalid("checksum can't be specified for multiple sources".to_owned())),
    };
    source.checksum_span = span;
    match &mut source.remote {
        Remote::Http(http) => http.checksum = Some(remote::file_checksum(text).map_err(invalid)?),
        Remote::Git(git) => git.set_checksum(text).map_err(invalid)?,
    }
    Ok(())
}

fn not_for_copy(remote: &Remote, span: ast::Span) -> Diagnostic {
    let message = match remote {
        Remote::Http(_) => "source can't be a URL for COPY",
        Remote::Git(_) => "source can't be a git ref for COPY",
    };
    Diagnostic::error("copy", message, span).with_hint("ADD fetches URLs and Git repositories")
}
