//! COPY and ADD: flags, sources, files written in the Dockerfile, destination.

use super::flags::{Flags, Takes};
use super::{Reader, words};
use crate::ast::{Add, Copy, CopyCommon, Heredoc, Word};
use crate::lex::words::blank_separated;

const COMMON: [(&str, Takes); 4] =
    [("chown", Takes::Text), ("chmod", Takes::Text), ("link", Takes::Bool), ("exclude", Takes::Texts)];

pub(super) fn read_copy(reader: &mut Reader<'_>) -> Option<Copy> {
    let flags = reader.flags(&[&COMMON[..], &[("from", Takes::Text), ("parents", Takes::Bool)]].concat());
    let common = read_common(reader);
    let (mut flags, mut common) = (flags?, common?);
    set_common(&mut common, &mut flags);
    // An empty value means the build context.
    let from = flags.text("from").filter(|from| !from.value.is_empty());
    Some(Copy { from, parents: flags.bool("parents").unwrap_or_default(), common })
}

pub(super) fn read_add(reader: &mut Reader<'_>) -> Option<Add> {
    let own = [("keep-git-dir", Takes::Bool), ("checksum", Takes::Text), ("unpack", Takes::Bool)];
    let flags = reader.flags(&[&COMMON[..], &own].concat());
    let common = read_common(reader);
    let (mut flags, mut common) = (flags?, common?);
    set_common(&mut common, &mut flags);
    Some(Add {
        common,
        checksum: non_empty(flags.text("checksum")),
        keep_git_dir: flags.bool("keep-git-dir"),
        unpack: flags.bool("unpack"),
    })
}

fn set_common(common: &mut CopyCommon, flags: &mut Flags) {
    common.chown = non_empty(flags.text("chown"));
    common.chmod = non_empty(flags.text("chmod"));
    common.link = flags.bool("link").unwrap_or_default();
    common.excludes = flags.texts("exclude");
}

/// A flag with an empty value is the same as none.
fn non_empty(word: Option<Word>) -> Option<Word> {
    word.filter(|word| !word.value.is_empty())
}

/// Sources, heredocs and destination.
fn read_common(reader: &mut Reader<'_>) -> Option<CopyCommon> {
    if reader.statement.documents.is_empty() {
        let mut words = words::list(reader)?;
        let destination = words.pop().filter(|_| !words.is_empty());
        let Some(destination) = destination else {
            too_few(reader);
            return None;
        };
        return Some(CopyCommon { sources: words, destination, ..CopyCommon::default() });
    }
    let (mut sources, heredocs) = split_heredocs(reader);
    let destination = sources.pop();
    let last_heredoc = heredocs.last().map(|heredoc| heredoc.span);
    let Some(destination) = destination else {
        if heredocs.len() > 1 {
            heredoc_destination(reader);
        } else {
            too_few(reader);
        }
        return None;
    };
    if last_heredoc.is_some_and(|span| span.start > destination.span.start) {
        heredoc_destination(reader);
        return None;
    }
    Some(CopyCommon { sources, heredocs, destination, ..CopyCommon::default() })
}

fn too_few(reader: &mut Reader<'_>) {
    reader.arguments_error(
        "requires at least two arguments, but only one was provided. Destination could not be determined",
    );
}

fn heredoc_destination(reader: &mut Reader<'_>) {
    let message = format!("{} cannot accept a heredoc as a destination", reader.keyword);
    let last = reader.statement.documents.last().map(|document| document.opening.range.clone());
    let span = last.map_or(reader.statement.span, |range| reader.statement.line_span(range));
    reader.error("heredoc", message, span);
}

/// The words that are no heredocs, and the heredocs.
fn split_heredocs(reader: &Reader<'_>) -> (Vec<Word>, Vec<Heredoc>) {
    let statement = reader.statement;
    let arguments = statement.arguments();
    let base = arguments.range().start;
    let mut words = Vec::new();
    let mut at = 0;
    let mut heredocs = Vec::new();
    for document in &statement.documents {
        let range = &document.opening.range;
        // A heredoc inside a flag is none of ours, but its body was read all the same, as BuildKit does.
        if range.start < base + at {
            continue;
        }
        let before = arguments.part(at..range.start - base);
        words.extend(blank_separated(before).iter().map(crate::lex::Fragment::word));
        at = range.end - base;
        heredocs.push(Heredoc {
            name: document.opening.name.clone(),
            body: document.body(),
            expand: document.opening.expand,
            span: statement.line_span(range.clone()),
            line_starts: document.line_starts(),
        });
    }
    words.extend(blank_separated(arguments.from(at)).iter().map(crate::lex::Fragment::word));
    (words, heredocs)
}
