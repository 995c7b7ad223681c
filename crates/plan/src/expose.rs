//! EXPOSE: `[ip:][host:]port[-port][/protocol]` to `port/protocol`.
//!
//! Source: BuildKit `dockerfile2llb/convert_expose.go`. Address and host port are checked and then mean nothing.

use std::net::IpAddr;

/// Every `port/protocol` that `spec` stands for, in order.
pub(crate) fn ports(spec: &str) -> Result<Vec<String>, String> {
    let (ip, host, container) = split(spec);
    let (container, protocol) = container.split_once('/').unwrap_or((container, ""));
    if container.is_empty() {
        return Err(format!("no port specified: {spec}<empty>"));
    }
    let protocol = match protocol.to_lowercase().as_str() {
        "" => "tcp".to_owned(),
        known @ ("tcp" | "udp" | "sctp") => known.to_owned(),
        other => return Err(format!("invalid proto: {other}")),
    };
    let address = ip.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(ip);
    if !ip.is_empty() && address.parse::<IpAddr>().is_err() {
        return Err(format!("invalid IP address: {ip}"));
    }
    let (first, last) = range(container).ok_or_else(|| format!("invalid containerPort: {container}"))?;
    if !host.is_empty() {
        let (host_first, host_last) = range(host).ok_or_else(|| format!("invalid hostPort: {host}"))?;
        if last != first && last - first != host_last - host_first {
            return Err(format!(
                "invalid ranges specified for container and host Ports: {container} and {host}"
            ));
        }
    }
    Ok((first..=last).map(|port| format!("{port}/{protocol}")).collect())
}

/// Address (which may contain colons itself), host port, container port.
fn split(spec: &str) -> (&str, &str, &str) {
    let Some((front, container)) = spec.rsplit_once(':') else { return ("", "", spec) };
    match front.rsplit_once(':') {
        Some((ip, host)) => (ip, host, container),
        None => ("", front, container),
    }
}

fn range(text: &str) -> Option<(u16, u16)> {
    let port = |digits: &str| {
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse::<u16>().ok()).flatten()
    };
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (port(first)?, port(last)?),
        None => (port(text)?, port(text)?),
    };
    (first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::ports;

    fn check(spec: &str) -> String {
        ports(spec).map_or_else(|e| format!("error: {e}"), |ports| ports.join(" "))
    }

    #[test]
    fn what_upstream_accepts() {
        for (spec, want) in [
            ("80", "80/tcp"),
            ("80/UDP", "80/udp"),
            ("80/", "80/tcp"),
            ("0", "0/tcp"),
            ("3000-3002/sctp", "3000/sctp 3001/sctp 3002/sctp"),
            ("8080:80", "80/tcp"),
            ("8080-8090:80", "80/tcp"),
            ("127.0.0.1:8080:80/tcp", "80/tcp"),
            ("127.0.0.1::80", "80/tcp"),
            ("[::1]:8080:80", "80/tcp"),
            ("::1:8080:80", "80/tcp"),
        ] {
            assert_eq!(check(spec), want, "{spec}");
        }
    }

    #[test]
    fn what_upstream_refuses() {
        for (spec, want) in [
            ("", "error: no port specified: <empty>"),
            ("/tcp", "error: no port specified: /tcp<empty>"),
            ("80/icmp", "error: invalid proto: icmp"),
            ("65536", "error: invalid containerPort: 65536"),
            ("+80", "error: invalid containerPort: +80"),
            ("9-8", "error: invalid containerPort: 9-8"),
            ("1-2-3", "error: invalid containerPort: 1-2-3"),
            ("x:80", "error: invalid hostPort: x"),
            ("1-3:1-2", "error: invalid ranges specified for container and host Ports: 1-2 and 1-3"),
            ("nope:1:2", "error: invalid IP address: nope"),
        ] {
            assert_eq!(check(spec), want, "{spec}");
        }
    }
}
