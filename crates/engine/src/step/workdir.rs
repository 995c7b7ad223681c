//! WORKDIR: the directory and its missing parents, owned by the step's user.

use std::os::fd::AsFd;

use jettison_layer::copy;
use jettison_plan::{StepId, Workdir};
use jettison_store::SnapshotId;

use crate::build::Build;
use crate::error::Error;
use crate::filesystem;
use crate::ownership::{self, Accounts};

impl Build<'_> {
    pub(super) fn perform_workdir(
        &self,
        step: StepId,
        workdir: &Workdir,
        input: Option<&SnapshotId>,
    ) -> Result<SnapshotId, Error> {
        let span = self.plan.steps[step].span;
        let draft = self.images.store.begin_snapshot(input)?;
        let root = filesystem::open_writable(draft.lowers(), draft.fs(), draft.work())?;
        let accounts = if ownership::needs_accounts(&workdir.user) {
            filesystem::accounts(&root)
        } else {
            Accounts::default()
        };
        // Without a passwd file an unknown user means root here, as in BuildKit: only a RUN needs the user to exist.
        let owner = ownership::resolve(&workdir.user, &accounts, span).map_or((0, 0), |o| (o.uid, o.gid));
        copy::make_directories(root.as_fd(), workdir.path.as_bytes(), owner, 0o755, self.epoch)
            .map_err(|source| Error::Copy { span, source })?;
        drop(root);
        Ok(draft.commit()?)
    }
}
