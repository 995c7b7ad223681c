//! What a proof says: findings with severity, reason and fix, and the verdict that follows from them.

use serde::Serialize;

/// Whether the image starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Nothing stands against it.
    Starts,
    /// Files alone cannot say; the findings name why.
    Unsure,
    /// It cannot start.
    CannotStart,
}

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// For information; the verdict does not change.
    Note,
    /// It cannot be sure.
    Warning,
    /// It cannot start.
    Error,
}

/// What a finding is about; whoever knows the Dockerfile finds the instruction with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind", content = "value")]
pub enum Subject {
    /// ENTRYPOINT and CMD: whichever names the program.
    Command,
    /// HEALTHCHECK.
    Healthcheck,
    /// USER.
    User,
    /// WORKDIR.
    WorkingDirectory,
    /// ENV of this name.
    Environment(String),
    /// This file, an absolute path: whatever brought it into the image.
    File(String),
}

/// A way out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fix {
    /// What it does, in a few words.
    pub how: String,
    /// Text to paste.
    pub text: String,
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Stable name of the rule. `docs/verify.md` lists them.
    pub rule: &'static str,
    /// How much it weighs.
    pub severity: Severity,
    /// Why, in one sentence.
    pub message: String,
    /// What it is about.
    pub subject: Subject,
    /// Ways out, the best first.
    pub fixes: Vec<Fix>,
}

impl Finding {
    /// Adds a way out.
    pub(super) fn fix(&mut self, how: impl Into<String>, text: impl Into<String>) -> &mut Self {
        let fix = Fix { how: how.into(), text: text.into() };
        if !self.fixes.contains(&fix) {
            self.fixes.push(fix);
        }
        self
    }

    /// Adds several.
    pub(super) fn fixes(&mut self, fixes: Vec<Fix>) -> &mut Self {
        for Fix { how, text } in fixes {
            self.fix(how, text);
        }
        self
    }
}

/// What helps where files say too little. The last word stands for the image until [`Report::name_image`].
pub(super) const TRY: (&str, &str) = ("try it", "jettison verify --run IMAGE");

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether it starts.
    pub verdict: Verdict,
    /// ENTRYPOINT and CMD together.
    pub command: Vec<String>,
    /// The program: its path in the image, if it was found.
    pub program: Option<String>,
    /// What kind of program it is, in a few words.
    pub kind: Option<String>,
    /// Findings, the gravest first.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Puts the name of the image into the texts to paste.
    pub fn name_image(&mut self, name: &str) {
        for fix in self.fixes_to_try() {
            fix.text = TRY.1.replace("IMAGE", &for_shell(name));
        }
    }

    /// Leaves out the advice to start the image: it is being started.
    pub fn is_tried(&mut self) {
        for finding in &mut self.findings {
            finding.fixes.retain(|fix| fix.text != TRY.1);
        }
    }

    fn fixes_to_try(&mut self) -> impl Iterator<Item = &mut Fix> {
        self.findings.iter_mut().flat_map(|finding| &mut finding.fixes).filter(|fix| fix.text == TRY.1)
    }

    /// The worst of what was found.
    pub(super) fn verdict_of(findings: &[Finding]) -> Verdict {
        match findings.iter().map(|finding| finding.severity).max() {
            Some(Severity::Error) => Verdict::CannotStart,
            Some(Severity::Warning) => Verdict::Unsure,
            Some(Severity::Note) | None => Verdict::Starts,
        }
    }
}

/// A word as a shell takes it.
fn for_shell(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-/:@+,=%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_where_a_shell_would_take_them_apart() {
        let said = ["app:1", "./my image", "it's"].map(for_shell);
        assert_eq!(said, ["app:1", "'./my image'", "'it'\\''s'"]);
    }
}
