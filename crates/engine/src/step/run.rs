//! RUN: one process in the sandbox, on top of the input, its changes in a new snapshot.

use std::io::{PipeReader, Read};

use jettison_layer::Error as LayerError;
use jettison_layer::copy::CopyError;
use jettison_oci::Platform;
use jettison_plan::key::Key;
use jettison_plan::{self as plan, Run, StepId};
use jettison_sandbox::{self as sandbox, ControlGroups, Root, Spec};
use jettison_store::{Draft, SnapshotId};
use rustix::event::{PollFd, PollFlags, poll};

use super::output_tail::Tail;
use crate::build::Build;
use crate::error::Error;
use crate::event::{Event, Stream};
use crate::kept;
use crate::network_files;

/// Bytes of output that are read at once.
const READ_BYTES: usize = 16 << 10;

impl Build<'_> {
    /// `None` if files of a context changed since the key was made.
    pub(super) fn perform_run(
        &self,
        step: StepId,
        key: &Key,
        run: &Run,
        input: Option<&SnapshotId>,
    ) -> Result<Option<SnapshotId>, Error> {
        self.refuse_foreign(step)?;
        let draft = self.images.store.begin_snapshot(input)?;
        let mounts = match self.mounts(run) {
            Err(Error::Copy { source: CopyError::Layer(LayerError::Changed { .. }), .. }) => return Ok(None),
            other => other?,
        };
        // What the step sees must be what its key names.
        let is_named = || -> Result<bool, Error> {
            let unchanged = self.are_unchanged(&mounts.from_contexts)?;
            Ok(unchanged && self.step_key(step)?.as_ref() == Some(key))
        };
        if !mounts.from_contexts.is_empty() && !is_named()? {
            return Ok(None);
        }
        let spec = self.spec(run, &draft, mounts.list.clone());
        let failed = |source| self.sandbox_error(step, source);
        let groups = self.request.control_groups.as_deref();
        let group = groups.map(ControlGroups::make).transpose().map_err(failed)?;
        let mut child = sandbox::spawn_in(&spec, group.as_ref()).map_err(failed)?;
        let killer = child.killer();
        let guard = self.images.cancel.guard(move || killer.kill());
        let pipes = [(Stream::Stdout, child.stdout.take()), (Stream::Stderr, child.stderr.take())];
        let tail = self.forward(step, pipes);
        let exit = child.wait();
        drop(guard);
        let mut exit = exit.map_err(failed)?;
        exit.oom_killed |= group.is_some_and(|group| group.has_killed());
        if self.images.cancel.is_raised() {
            return Err(Error::Canceled);
        }
        if exit.success() {
            // Meanwhile the mounts end; whoever stands on this snapshot comes after both.
            return Ok(Some(draft.commit()?));
        }
        let tail = tail.lines();
        let kept = if self.request.keep_failed {
            let name = &self.plan.steps[step].name;
            Some(kept::keep(self.images.store, draft, run, name)?)
        } else {
            None
        };
        Err(self.run_failed(step, run, exit, tail, kept))
    }

    /// Refuses a step whose programs neither the processor nor an emulator runs.
    fn refuse_foreign(&self, step: StepId) -> Result<(), Error> {
        let step = &self.plan.steps[step];
        let sandbox::Emulation::Missing(reason) = sandbox::emulation(&step.platform.architecture) else {
            return Ok(());
        };
        let (foreign, host) = (&step.platform, Platform::host());
        Err(Error::Foreign {
            message: format!("cannot run {foreign} programs on {host}: {reason}"),
            span: step.span,
        })
    }

    fn spec(&self, run: &Run, draft: &Draft, mounts: Vec<sandbox::Mount>) -> Spec {
        let root = if draft.lowers().is_empty() {
            Root::Directory(draft.fs().to_owned())
        } else {
            Root::Overlay {
                lowers: draft.lowers().to_vec(),
                upper: draft.fs().to_owned(),
                work: draft.work().to_owned(),
            }
        };
        let mut spec = Spec::new(root, run.argv.clone());
        let names = |name: &str| run.env.iter().any(|e| e.split_once('=').is_some_and(|(n, _)| n == name));
        spec.env.clone_from(&run.env);
        spec.env.extend(run.proxy_env.iter().cloned());
        if !names("SOURCE_DATE_EPOCH") {
            spec.env.push(format!("SOURCE_DATE_EPOCH={}", self.epoch));
        }
        for mount in &run.mounts {
            if let plan::MountKind::Secret { id, env: Some(name), .. } = &mount.kind
                && let Some(secret) = self.request.secrets.get(id)
            {
                spec.env.push(format!("{name}={}", String::from_utf8_lossy(&secret.0)));
            }
        }
        // Set whether or not there is an agent, as BuildKit does.
        let socket = run.mounts.iter().find(|m| matches!(m.kind, plan::MountKind::Ssh { .. }));
        if let Some(mount) = socket.filter(|_| !names("SSH_AUTH_SOCK")) {
            spec.env.push(format!("SSH_AUTH_SOCK={}", mount.target));
        }
        spec.cwd.clone_from(&run.cwd);
        spec.user.clone_from(&run.user);
        let host_name = run.host_name.as_deref().unwrap_or(network_files::HOST_NAME);
        host_name.clone_into(&mut spec.hostname);
        spec.hosts = network_files::hosts(host_name, &self.request.extra_hosts);
        spec.resolv_conf = network_files::resolv_conf(&std::fs::read("/etc/resolv.conf").unwrap_or_default());
        spec.network = match run.network {
            plan::Network::None => sandbox::Network::None,
            plan::Network::Default | plan::Network::Host => sandbox::Network::Host,
        };
        spec.security = match run.security {
            plan::Security::Sandbox => sandbox::Security::Sandbox,
            plan::Security::Insecure => sandbox::Security::Insecure,
        };
        spec.mounts = mounts;
        spec.shm_bytes = self.request.shm_bytes;
        spec.limits.clone_from(&self.request.limits);
        spec
    }

    /// Passes on what the process says, as it comes, until nobody can say anything any more.
    fn forward(&self, step: StepId, pipes: [(Stream, Option<PipeReader>); 2]) -> Tail {
        let mut pipes: Vec<(Stream, PipeReader)> =
            pipes.into_iter().filter_map(|(stream, pipe)| Some((stream, pipe?))).collect();
        let mut buffer = vec![0; READ_BYTES];
        let mut tail = Tail::default();
        while !pipes.is_empty() {
            let mut waiting: Vec<PollFd<'_>> =
                pipes.iter().map(|(_, pipe)| PollFd::new(pipe, PollFlags::IN)).collect();
            // An interrupted wait says that nothing is there: then it begins again.
            let _ = poll(&mut waiting, None);
            let ready: Vec<bool> = waiting.iter().map(|pipe| !pipe.revents().is_empty()).collect();
            let mut ready = ready.into_iter();
            pipes.retain_mut(|(stream, pipe)| {
                if ready.next() != Some(true) {
                    return true;
                }
                match pipe.read(&mut buffer) {
                    Ok(n) if n > 0 => {
                        tail.push(&buffer[..n]);
                        let bytes = buffer[..n].to_vec();
                        self.tasks.sink.emit(Event::Output { task: self.task(step), stream: *stream, bytes });
                        true
                    }
                    Err(error) => error.kind() == std::io::ErrorKind::Interrupted,
                    Ok(_) => false,
                }
            });
        }
        tail
    }

    fn sandbox_error(&self, step: StepId, source: sandbox::Error) -> Error {
        let step = &self.plan.steps[step];
        Error::Sandbox { step: step.name.clone(), span: step.span, source }
    }

    fn run_failed(
        &self,
        step: StepId,
        run: &Run,
        exit: sandbox::Exit,
        tail: Vec<u8>,
        kept: Option<String>,
    ) -> Error {
        let text = match (exit.code, exit.signal) {
            (Some(code), _) if exit.oom_killed => {
                format!("exit code: {code}, and the kernel killed a process of it for lack of memory")
            }
            (Some(code), _) => format!("exit code: {code}"),
            (None, Some(9)) if exit.oom_killed => "killed for lack of memory".to_owned(),
            (None, signal) => format!("killed by signal {}", signal.unwrap_or(0)),
        };
        let step = &self.plan.steps[step];
        Error::RunFailed {
            step: step.name.as_str().into(),
            span: step.span,
            command: run.argv.join(" "),
            exit: text.into(),
            code: exit.shell_code(),
            tail,
            kept: kept.map(String::into_boxed_str),
        }
    }
}
