//! Resource limits of the step. Set while we still may raise them.

use rustix::process::{Resource, Rlimit, setrlimit};

use crate::error::Context as _;
use crate::{Error, Limit};

/// docker's names. Source: docker/go-units `ulimit.go`.
const NAMES: [(&str, Resource); 15] = [
    ("core", Resource::Core),
    ("cpu", Resource::Cpu),
    ("data", Resource::Data),
    ("fsize", Resource::Fsize),
    ("locks", Resource::Locks),
    ("memlock", Resource::Memlock),
    ("msgqueue", Resource::Msgqueue),
    ("nice", Resource::Nice),
    ("nofile", Resource::Nofile),
    ("nproc", Resource::Nproc),
    ("rss", Resource::Rss),
    ("rtprio", Resource::Rtprio),
    ("rttime", Resource::Rttime),
    ("sigpending", Resource::Sigpending),
    ("stack", Resource::Stack),
];

pub(super) fn set(limits: &[Limit]) -> Result<(), Error> {
    for limit in limits {
        let found = NAMES.iter().find(|(name, _)| *name == limit.name);
        let Some((_, resource)) = found else {
            return Err(Error::Internal(format!("there is no limit {:?}", limit.name)));
        };
        setrlimit(*resource, Rlimit { current: limit.soft, maximum: limit.hard })
            .context(format!("set the limit {}", limit.name))?;
    }
    Ok(())
}

/// Whether `name` is a limit.
pub(crate) fn is_known(name: &str) -> bool {
    NAMES.iter().any(|(known, _)| *known == name)
}
