//! `/etc/hosts` and `/etc/resolv.conf`, as text. Pure.
//!
//! Source: hosts(5), resolv.conf(5). Unknown lines and options are skipped, as the C library does.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// Most name servers used, as in the C library (`MAXNS`).
const SERVERS_MAX: usize = 3;
const DNS_PORT: u16 = 53;

/// Addresses of `name` in the text of a hosts file, in file order.
pub(super) fn hosts_lookup(text: &str, name: &str) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        let Some(address) = words.next().and_then(|word| word.parse::<IpAddr>().ok()) else { continue };
        if words.any(|word| word.eq_ignore_ascii_case(name)) && !found.contains(&address) {
            found.push(address);
        }
    }
    found
}

/// What resolv.conf says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ResolvConf {
    /// Name servers in order of preference.
    pub(super) servers: Vec<SocketAddr>,
    /// Domains to try behind short names.
    pub(super) search: Vec<String>,
    /// Names with at least this many dots are tried as they are first.
    pub(super) ndots: usize,
    /// How long to wait for one server.
    pub(super) timeout: Duration,
    /// How many rounds over all servers.
    pub(super) attempts: u32,
}

impl ResolvConf {
    /// Reads the text; a missing file is an empty text.
    pub(super) fn parse(text: &str) -> Self {
        let mut conf = Self {
            servers: Vec::new(),
            search: Vec::new(),
            ndots: 1,
            timeout: Duration::from_secs(5),
            attempts: 2,
        };
        for line in text.lines() {
            let line = line.split(['#', ';']).next().unwrap_or_default();
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => {
                    if let Some(server) = words.next().and_then(parse_server)
                        && conf.servers.len() < SERVERS_MAX
                    {
                        conf.servers.push(server);
                    }
                }
                // The last of `domain` and `search` wins.
                Some("domain" | "search") => {
                    conf.search =
                        words.map(|w| w.trim_end_matches('.').to_owned()).filter(|w| !w.is_empty()).collect();
                }
                Some("options") => words.for_each(|word| conf.set_option(word)),
                _ => {}
            }
        }
        if conf.servers.is_empty() {
            conf.servers.push((Ipv4Addr::LOCALHOST, DNS_PORT).into());
        }
        conf
    }

    fn set_option(&mut self, word: &str) {
        let Some((key, value)) = word.split_once(':') else { return };
        let Ok(value) = value.parse::<u32>() else { return };
        match key {
            "ndots" => self.ndots = value.min(15) as usize,
            "timeout" => self.timeout = Duration::from_secs(u64::from(value.clamp(1, 30))),
            "attempts" => self.attempts = value.clamp(1, 5),
            _ => {}
        }
    }

    /// The full names to ask for, in order.
    pub(super) fn candidates(&self, name: &str) -> Vec<String> {
        if let Some(absolute) = name.strip_suffix('.') {
            return vec![absolute.to_owned()];
        }
        let searched = self.search.iter().map(|domain| format!("{name}.{domain}"));
        let as_is = std::iter::once(name.to_owned());
        if name.matches('.').count() >= self.ndots {
            as_is.chain(searched).collect()
        } else {
            searched.chain(as_is).collect()
        }
    }
}

/// `192.0.2.1`, `2001:db8::1`, `fe80::1%eth0` (the scope is dropped: the kernel cannot be asked without unsafe code).
fn parse_server(word: &str) -> Option<SocketAddr> {
    let address = word.split('%').next().unwrap_or(word);
    address.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, DNS_PORT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_lines() {
        let text = "127.0.0.1 localhost\n# 10.0.0.9 registry\n10.0.0.1\tregistry.corp Registry # main\n::5 registry\nbad registry\n";
        assert_eq!(
            hosts_lookup(text, "registry"),
            ["10.0.0.1".parse::<IpAddr>().unwrap(), "::5".parse().unwrap()]
        );
        assert!(hosts_lookup(text, "main").is_empty());
    }

    #[test]
    fn resolv_conf_lines() {
        let conf = ResolvConf::parse(
            "; comment\nnameserver 10.0.0.53\nnameserver fe80::1%eth0\nsearch a.example b.example.\noptions ndots:2 timeout:1 attempts:9 rotate\n",
        );
        assert_eq!(
            conf.servers,
            ["10.0.0.53:53".parse().unwrap(), "[fe80::1]:53".parse::<SocketAddr>().unwrap()]
        );
        assert_eq!((conf.ndots, conf.timeout, conf.attempts), (2, Duration::from_secs(1), 5));
        assert_eq!(conf.candidates("x.y"), ["x.y.a.example", "x.y.b.example", "x.y"]);
        assert_eq!(conf.candidates("x.y.z"), ["x.y.z", "x.y.z.a.example", "x.y.z.b.example"]);
        assert_eq!(conf.candidates("x."), ["x"]);
    }

    #[test]
    fn no_file_means_a_server_on_this_machine() {
        assert_eq!(ResolvConf::parse("").servers, ["127.0.0.1:53".parse().unwrap()]);
    }
}
