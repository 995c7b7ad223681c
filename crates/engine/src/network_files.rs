//! `/etc/hosts` and `/etc/resolv.conf` as a RUN step sees them.
//!
//! Source: BuildKit `executor/oci/hosts.go` and `resolvconf.go`. A step on the host's network sees the host's name
//! servers as they are, loopback ones included; without any, Google's public ones stand in, as in BuildKit.

use std::fmt::Write as _;
use std::net::IpAddr;

/// The host name that BuildKit gives to every step; part of what a step can see, so it is fixed.
pub const HOST_NAME: &str = "buildkitsandbox";

/// The hosts file with `extra` (`--add-host`) at its end.
pub fn hosts(host_name: &str, extra: &[(String, IpAddr)]) -> Vec<u8> {
    let mut text = format!("127.0.0.1\tlocalhost {host_name}\n::1\tlocalhost ip6-localhost ip6-loopback\n");
    for (name, address) in extra {
        let _ = writeln!(text, "{address}\t{name}");
    }
    text.into_bytes()
}

/// The resolver configuration made from the host's.
pub fn resolv_conf(host: &[u8]) -> Vec<u8> {
    let has_server = host.split(|b| *b == b'\n').any(|line| {
        line.trim_ascii_start().starts_with(b"nameserver") && !line.trim_ascii_start().starts_with(b"#")
    });
    let mut text = host.to_vec();
    if !has_server {
        if !text.is_empty() && !text.ends_with(b"\n") {
            text.push(b'\n');
        }
        text.extend_from_slice(b"nameserver 8.8.8.8\nnameserver 8.8.4.4\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_end_with_the_extra_ones() {
        let text = hosts(HOST_NAME, &[("db".into(), "10.0.0.2".parse().unwrap())]);
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "127.0.0.1\tlocalhost buildkitsandbox\n::1\tlocalhost ip6-localhost ip6-loopback\n10.0.0.2\tdb\n"
        );
    }

    #[test]
    fn a_host_without_servers_gets_public_ones() {
        assert_eq!(resolv_conf(b"nameserver 127.0.0.53\n"), b"nameserver 127.0.0.53\n");
        assert_eq!(resolv_conf(b"search x"), b"search x\nnameserver 8.8.8.8\nnameserver 8.8.4.4\n");
    }
}
