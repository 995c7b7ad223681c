//! All that the program reads from outside: variables, the user, the store's place, what the terminal can do.

use std::io::IsTerminal;
use std::path::PathBuf;

use jettison_engine::{Cancel, Images};
use jettison_registry::{Client, Config};
use jettison_sandbox::{self as sandbox, Tier};
use jettison_store::Store;

use crate::commands::warn;
use crate::failure::{Failure, Kind};
use crate::signals;

/// Where a command runs.
#[derive(Debug)]
pub(crate) struct Environment {
    root: PathBuf,
    /// What this machine permits.
    pub(crate) entered: Option<sandbox::Entered>,
    /// Raised by signals.
    pub(crate) cancel: Cancel,
}

impl Environment {
    /// For commands that touch neither store nor sandbox.
    pub(crate) fn outside() -> Self {
        Self { root: store_root(), entered: None, cancel: Cancel::new() }
    }

    /// Enters the private mount namespace (root) or a user namespace (plain user; root too, if programs of
    /// `architectures` run in no other way).
    pub(crate) fn enter(architectures: &[String]) -> Result<Self, Failure> {
        // Before entering: inside a user namespace everybody is root.
        let root = store_root();
        let entered = sandbox::enter_for(architectures)?;
        let cancel = Cancel::new();
        signals::listen(&cancel)
            .map_err(|e| Failure::new(Kind::Failed, format!("cannot listen to signals: {e}")))?;
        Ok(Self { root, entered: Some(entered), cancel })
    }

    /// Opens the store.
    pub(crate) fn store(&self) -> Result<Store, Failure> {
        Ok(self.try_store()?)
    }

    /// Opens the store; the error is kept for whoever can do without.
    pub(crate) fn try_store(&self) -> Result<Store, jettison_store::Error> {
        let store = Store::open(&self.root)?;
        if store.was_a_lossy_copy() {
            let root = self.root.display();
            warn(&format!("the store {root} is a copy that lost attributes of files, so steps run again"));
        }
        Ok(store)
    }

    /// A registry client that obeys the user's files and stops when the user does.
    pub(crate) fn registry(&self) -> Result<Client, Failure> {
        Ok(self.try_registry()?)
    }

    /// The same, in which the registries at `hosts` may speak plain http or show any certificate.
    pub(crate) fn registry_trusting(&self, hosts: &[String]) -> Result<Client, Failure> {
        let config = hosts.iter().fold(self.registry_config()?, |config, host| config.insecure(host));
        Ok(Client::new(config))
    }

    /// The same; the error is kept for whoever can do without.
    pub(crate) fn try_registry(&self) -> Result<Client, jettison_registry::Error> {
        Ok(Client::new(self.registry_config()?))
    }

    fn registry_config(&self) -> Result<Config, jettison_registry::Error> {
        let raised = self.cancel.flag();
        Ok(Config::from_env()?.cancel(move || raised.load(std::sync::atomic::Ordering::SeqCst)))
    }

    /// Images of `store` and `registry`.
    pub(crate) fn images<'a>(&'a self, store: &'a Store, registry: &'a Client) -> Images<'a> {
        Images { store, registry, cancel: &self.cancel, policy: None }
    }

    /// Fails if RUN and overlay mounts cannot be had, saying why and what to do.
    pub(crate) fn require_namespaces(&self) -> Result<(), Failure> {
        match &self.entered {
            Some(entered) if entered.tier == Tier::NoNamespaces => {
                let reason = entered.reason.clone().unwrap_or_else(|| "no namespaces".to_owned());
                let failure =
                    Failure::new(Kind::Environment, format!("cannot isolate processes here: {reason}"));
                Err(match &entered.lift {
                    Some(lift) => failure.hint(lift.clone()),
                    None => failure,
                })
            }
            _ => Ok(()),
        }
    }
}

/// `JETTISON_ROOT`, else `/var/lib/jettison` for root and `$XDG_DATA_HOME/jettison` for others.
fn store_root() -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    if let Some(root) = variable("JETTISON_ROOT") {
        return std::path::absolute(&root).unwrap_or(root);
    }
    if rustix::process::geteuid().is_root() {
        return PathBuf::from("/var/lib/jettison");
    }
    let data = variable("XDG_DATA_HOME").filter(|p| p.is_absolute());
    let home = || variable("HOME").unwrap_or_else(|| PathBuf::from("/")).join(".local/share");
    data.unwrap_or_else(home).join("jettison")
}

/// Whether errors on standard error may be coloured.
pub(crate) fn stderr_has_colour() -> bool {
    stderr_is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

/// Whether reports on standard output may be coloured.
pub(crate) fn stdout_has_colour() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

/// Whether standard error is a terminal.
pub(crate) fn stderr_is_terminal() -> bool {
    std::io::stderr().is_terminal()
}
