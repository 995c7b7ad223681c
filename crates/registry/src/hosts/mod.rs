//! Where images come from and whom to trust: what `registries.conf` and `certs.d` say about hosts.
//!
//! Both formats belong to the containers family (podman, buildah, skopeo). Where to read next: `registries_conf.rs` for
//! mirrors, `certs_d.rs` for certificates.

pub(crate) mod certs_d;
pub(crate) mod registries_conf;
