//! Ways out for files and folders whose modes keep USER out: the COPY that brought them with another mode, or a RUN that
//! changes it, as root and where there is a shell for it.

use std::io;

use super::{Fix, Proof};
use crate::tree::Identity;

/// The mode that lets everybody enter folders, and read and execute files.
const OPEN: &str = "755";

/// What USER may not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    Execute,
    Read,
    /// A folder.
    Enter,
}

impl Use {
    /// What is to be done, and chmod's word for it.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Execute => ("let everybody execute it", OPEN),
            Self::Read => ("let the user read it", "a+r"),
            Self::Enter => ("let others enter it", "a+x"),
        }
    }
}

impl Proof<'_> {
    /// Ways to let USER use what lies at `path`, which is absolute.
    pub(super) fn ways_to_permit(&self, path: &str, missing: Use) -> io::Result<Vec<Fix>> {
        let (how, mode) = missing.words();
        let relative = path.trim_start_matches('/').as_bytes();
        // A COPY to somewhere in a folder need not have made it.
        let provenance = self.image.provenance.filter(|_| missing != Use::Enter);
        let instruction = provenance.and_then(|provenance| provenance.instruction(relative));
        let mut fixes = Vec::new();
        if let Some(text) = instruction.as_deref().and_then(with_open_mode) {
            fixes.push(Fix { how: format!("{how}, where it is copied"), text });
        }
        if self.view.exists(b"/bin/sh")? {
            let how = if fixes.is_empty() { how.to_owned() } else { "or change it afterwards".to_owned() };
            fixes.push(Fix { how, text: self.run(&format!("chmod {mode} {path}")) });
        }
        if fixes.is_empty() {
            let how = format!("{how}, where it is copied (replace `build` by the stage that has it)");
            fixes.push(Fix { how, text: format!("COPY --from=build --chmod={OPEN} {path} {path}") });
        }
        Ok(fixes)
    }

    /// A RUN instruction to put at the end of the Dockerfile: root does it.
    pub(super) fn run(&self, command: &str) -> String {
        if self.identity == Identity::root() {
            return format!("RUN {command}");
        }
        format!("USER root\nRUN {command}\nUSER {}", self.image.config.user)
    }
}

/// A COPY or ADD with `--chmod`; `None` if it is another instruction.
fn with_open_mode(instruction: &str) -> Option<String> {
    let end = instruction.find(char::is_whitespace)?;
    let (keyword, rest) = instruction.split_at(end);
    if !["COPY", "ADD"].iter().any(|known| keyword.eq_ignore_ascii_case(known)) {
        return None;
    }
    let without = match rest.split_once(" --chmod=") {
        Some((before, after)) if before.split_whitespace().all(|word| word.starts_with("--")) => {
            let value = after.find(char::is_whitespace)?;
            format!("{before}{}", &after[value..])
        }
        _ => rest.to_owned(),
    };
    Some(format!("{keyword} --chmod={OPEN}{without}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_instruction_with_a_mode() {
        for (text, wanted) in [
            ("COPY a /a", Some("COPY --chmod=755 a /a")),
            ("copy --from=b  a /a", Some("copy --chmod=755 --from=b  a /a")),
            ("COPY --link --chmod=600 a /a", Some("COPY --chmod=755 --link a /a")),
            ("COPY --chmod=u+r --link a /a", Some("COPY --chmod=755 --link a /a")),
            ("ADD a --chmod=600 /a", Some("ADD --chmod=755 a --chmod=600 /a")),
            ("COPY <<E /a\nhi\nE", Some("COPY --chmod=755 <<E /a\nhi\nE")),
            ("RUN cp a b", None),
            ("ADDER", None),
            ("é", None),
        ] {
            assert_eq!(with_open_mode(text).as_deref(), wanted, "{text}");
        }
    }
}
