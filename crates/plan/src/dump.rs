//! A stable text form of plans: the same plan always gives the same lines. For tests, and for people who want to see
//! what would be done.

use std::fmt::{self, Write as _};

use crate::graph::{
    Action, Chmod, Copy, Fs, Mount, MountKind, Network, Plan, Run, Security, Sharing, Source, Stage,
};

/// The plan as text.
pub fn dump(plan: &Plan) -> String {
    let mut out = String::new();
    write_plan(&mut out, plan).expect("strings take all text");
    out
}

fn write_plan(out: &mut String, plan: &Plan) -> fmt::Result {
    writeln!(out, "platform {}", plan.platform)?;
    for (id, image) in plan.images.iter().enumerate() {
        writeln!(out, "image {id}: {} {}", image.reference, image.platform)?;
    }
    for stage in &plan.stages {
        write_stage(out, plan, stage)?;
    }
    Ok(())
}

fn write_stage(out: &mut String, plan: &Plan, stage: &Stage) -> fmt::Result {
    let name = stage.name.as_deref().map(|name| format!(" {name}")).unwrap_or_default();
    writeln!(out, "stage {}{name}: {} -> {}", stage.index, fs(stage.base), fs(stage.result))?;
    for id in &stage.steps {
        let step = &plan.steps[*id];
        writeln!(out, "  step {id} on {}: {}", fs(step.input), step.name)?;
        match &step.action {
            Action::Run(run) => write_run(out, run)?,
            Action::Copy(copy) => write_copy(out, copy)?,
            Action::Workdir(workdir) => {
                writeln!(out, "    make {} for {:?}", workdir.path, workdir.user)?;
            }
        }
    }
    for entry in &stage.history {
        let step = entry.step.map_or_else(|| "-".to_owned(), |step| step.to_string());
        writeln!(out, "  history {step}: {}", entry.created_by.replace('\n', "\\n"))?;
    }
    Ok(())
}

fn write_run(out: &mut String, run: &Run) -> fmt::Result {
    writeln!(out, "    argv {:?}", run.argv)?;
    if let Some((name, text)) = &run.script {
        writeln!(out, "    script {name} {text:?}")?;
    }
    writeln!(out, "    env {:?}", run.env)?;
    if !run.proxy_env.is_empty() {
        writeln!(out, "    proxies {:?}", run.proxy_env)?;
    }
    writeln!(out, "    in {} as {:?}", run.cwd, run.user)?;
    for mount in &run.mounts {
        write_mount(out, mount)?;
    }
    match run.network {
        Network::Default => {}
        Network::None => writeln!(out, "    network none")?,
        Network::Host => writeln!(out, "    network host")?,
    }
    if let Some(name) = &run.host_name {
        writeln!(out, "    host name {name}")?;
    }
    if run.security == Security::Insecure {
        writeln!(out, "    insecure")?;
    }
    if run.no_cache {
        writeln!(out, "    no cache")?;
    }
    Ok(())
}

fn write_mount(out: &mut String, mount: &Mount) -> fmt::Result {
    write!(out, "    mount {:?}: ", mount.target)?;
    match &mount.kind {
        MountKind::Bind { from, path, writable } => {
            write!(out, "bind {path} of {}{}", source(from), if *writable { " writable" } else { "" })?;
        }
        MountKind::Cache { id, from, path, sharing, mode, uid, gid, read_only } => {
            let base = from.map(|from| format!(" base {path} of {}", fs(from))).unwrap_or_default();
            let sharing = match sharing {
                Sharing::Shared => "shared",
                Sharing::Private => "private",
                Sharing::Locked => "locked",
            };
            write!(out, "cache {id} {sharing}{base} {mode:04o} {uid}:{gid}")?;
            write!(out, "{}", if *read_only { " read-only" } else { "" })?;
        }
        MountKind::Tmpfs { size } => {
            write!(out, "tmpfs{}", size.map(|size| format!(" {size} bytes")).unwrap_or_default())?;
        }
        MountKind::Secret { id, file, env, required, mode, uid, gid } => {
            let env = env.as_ref().map(|env| format!(" env {env}")).unwrap_or_default();
            let file = if *file { format!(" file {mode:04o} {uid}:{gid}") } else { String::new() };
            write!(out, "secret {id}{env}{file}{}", if *required { " required" } else { "" })?;
        }
        MountKind::Ssh { id, required, mode, uid, gid } => {
            write!(out, "ssh {id} {mode:04o} {uid}:{gid}{}", if *required { " required" } else { "" })?;
        }
    }
    writeln!(out)
}

fn write_copy(out: &mut String, copy: &Copy) -> fmt::Result {
    let sources: Vec<&str> = copy.sources.iter().map(|(source, _)| source.as_str()).collect();
    writeln!(out, "    {sources:?} of {} -> {:?}", source(&copy.from), copy.destination)?;
    for remote in &copy.remotes {
        let unpack = if remote.unpack { " unpack" } else { "" };
        writeln!(out, "    remote {} after {}{unpack}", remote.remote.shown(), remote.locals_before)?;
    }
    for (name, text) in &copy.inline {
        writeln!(out, "    inline {name} {text:?}")?;
    }
    if let Some(owner) = &copy.chown {
        writeln!(out, "    chown {owner}")?;
    }
    match &copy.chmod {
        None => {}
        Some(Chmod::Octal(mode)) => writeln!(out, "    chmod {mode:04o}")?,
        Some(Chmod::Symbolic(clauses)) => writeln!(out, "    chmod {clauses}")?,
    }
    if !copy.excludes.is_empty() {
        writeln!(out, "    exclude {:?}", copy.excludes)?;
    }
    let flags = [
        ("parents", copy.parents),
        ("link", copy.link),
        ("unpack", copy.unpack),
        ("no cache", copy.no_cache),
    ];
    for (flag, _) in flags.iter().filter(|(_, set)| *set) {
        writeln!(out, "    {flag}")?;
    }
    Ok(())
}

fn fs(fs: Fs) -> String {
    match fs {
        Fs::Scratch => "scratch".to_owned(),
        Fs::Image(id) => format!("image {id}"),
        Fs::Step(id) => format!("step {id}"),
    }
}

fn source(source: &Source) -> String {
    match source {
        Source::Context => "context".to_owned(),
        Source::NamedContext(name) => format!("context {name}"),
        Source::Fs(from) => fs(*from),
    }
}
