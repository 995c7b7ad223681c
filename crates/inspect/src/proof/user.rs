//! USER and WORKDIR.

use std::io;

use super::{Proof, Severity, Subject, shown};
use crate::tree::{Identity, UnknownName};

impl Proof<'_> {
    /// Finds out whom the program runs as.
    pub(super) fn user(&mut self) -> io::Result<()> {
        let user = self.image.config.user.clone();
        match Identity::resolve(&self.view, &user)? {
            Ok(identity) => self.identity = identity,
            Err(UnknownName::User(name)) => {
                let message = format!("USER {user}: /etc/passwd of the image has no user {name}");
                self.error("user-unknown", Subject::User, message)
                    .fix("use the number, which needs no entry", "USER 65532:65532")
                    .fix(
                        "or bring the entries of the stage that has the user (replace `build` by its name)",
                        "COPY --from=build /etc/passwd /etc/group /etc/",
                    );
            }
            Err(UnknownName::Group(name)) => {
                let message = format!("USER {user}: /etc/group of the image has no group {name}");
                self.error("group-unknown", Subject::User, message)
                    .fix("use the number, which needs no entry", "USER 65532:65532");
            }
        }
        let directory = self.working_directory.clone();
        if !self.view.exists(&directory)? {
            let message = format!("WORKDIR {} is not in the image; runtimes make it", shown(&directory));
            self.find("workdir-missing", Severity::Note, Subject::WorkingDirectory, message)
                .fix("make it, with the owner that it is to have", format!("WORKDIR {}", shown(&directory)));
        }
        Ok(())
    }
}
