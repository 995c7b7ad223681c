//! HEALTHCHECK, by the rules of the command. A check that cannot run makes a container unhealthy, but it starts:
//! whatever is wrong is a warning.

use std::io;

use super::{Proof, Severity, Subject};

impl Proof<'_> {
    /// Follows the command of the health check.
    pub(super) fn healthcheck(&mut self) -> io::Result<()> {
        let config = self.image.config;
        let Some(check) = &config.healthcheck else { return Ok(()) };
        let (kind, rest) = match check.test.split_first() {
            Some((kind, rest)) if !rest.is_empty() => (kind.as_str(), rest),
            _ => return Ok(()),
        };
        let argv: Vec<String> = match kind {
            "CMD" => rest.to_vec(),
            "CMD-SHELL" => {
                let shell = config.shell.clone().filter(|shell| !shell.is_empty());
                let mut argv = shell.unwrap_or_else(|| vec!["/bin/sh".to_owned(), "-c".to_owned()]);
                argv.extend(rest.iter().cloned());
                argv
            }
            _ => return Ok(()),
        };
        let before = std::mem::take(&mut self.findings);
        self.subject = Subject::Healthcheck;
        if let Some(program) = self.command(&argv, 0)? {
            self.arguments(&program, &argv)?;
        }
        self.subject = Subject::Command;
        let mut own = std::mem::replace(&mut self.findings, before);
        for finding in &mut own {
            finding.severity = finding.severity.min(Severity::Warning);
            finding.message.insert_str(0, "HEALTHCHECK: ");
            finding.subject = Subject::Healthcheck;
        }
        // What keeps the program from starting has been said already.
        own.retain(|finding| {
            !self.findings.iter().any(|f| finding.message.ends_with(&f.message) && f.rule == finding.rule)
        });
        self.findings.extend(own);
        Ok(())
    }
}
