//! The resolver against a name server that lives in the test.

use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use super::message::{Record, encode_answer};
use super::*;

/// Answers each datagram, and each TCP question, with what `answer` makes of it (query, whether over TCP).
fn serve(answer: impl Fn(&[u8], bool) -> Option<Vec<u8>> + Send + Sync + 'static) -> SocketAddr {
    // UDP and TCP must share a port number, as real servers do.
    let (udp, tcp) = loop {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()) {
            break (udp, tcp);
        }
    };
    let address = udp.local_addr().unwrap();
    let answer = Arc::new(answer);
    let over_udp = Arc::clone(&answer);
    thread::spawn(move || {
        let mut buffer = [0; 1024];
        while let Ok((n, from)) = udp.recv_from(&mut buffer) {
            if let Some(bytes) = over_udp(&buffer[..n], false) {
                udp.send_to(&bytes, from).unwrap();
            }
        }
    });
    thread::spawn(move || {
        for stream in tcp.incoming() {
            let mut stream = stream.unwrap();
            let mut len = [0; 2];
            stream.read_exact(&mut len).unwrap();
            let mut query = vec![0; usize::from(u16::from_be_bytes(len))];
            stream.read_exact(&mut query).unwrap();
            let bytes = answer(&query, true).unwrap();
            stream.write_all(&(bytes.len() as u16).to_be_bytes()).unwrap();
            stream.write_all(&bytes).unwrap();
        }
    });
    address
}

fn resolver(servers: &[SocketAddr], resolv_conf: &str) -> (StubResolver, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let hosts = dir.path().join("hosts");
    std::fs::write(&hosts, "192.0.2.99 listed.example\n").unwrap();
    let conf = dir.path().join("resolv.conf");
    std::fs::write(&conf, resolv_conf).unwrap();
    let resolver = StubResolver {
        hosts,
        resolv_conf: conf,
        servers: Some(servers.to_vec()),
        cancel: Arc::new(|| false),
    };
    (resolver, dir)
}

/// Which record type a query asks for: the fourth byte from the end.
fn is_a(query: &[u8]) -> bool {
    query[query.len() - 3] == 1
}

fn names(query: &[u8], name: &str) -> bool {
    let wanted = message::encode_query(0, name, RecordType::A).unwrap();
    query[12..query.len() - 4] == wanted[12..wanted.len() - 4]
}

const V4: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 7));

#[test]
fn both_families_aliases_and_the_search_list() {
    let server = serve(|query, _| {
        if !names(query, "reg.corp.example") {
            return Some(encode_answer(query, 3, false, &[]));
        }
        let mut records = vec![("reg.corp.example", Record::Alias("real.example"))];
        let ip = if is_a(query) { V4 } else { IpAddr::V6(Ipv6Addr::LOCALHOST) };
        records.push(("real.example", Record::Address(ip)));
        Some(encode_answer(query, 0, false, &records))
    });
    let (resolver, _dir) = resolver(&[server], "search nope.example corp.example\n");
    let mut found = resolver.lookup("REG", None).unwrap();
    found.sort();
    assert_eq!(found, [V4, IpAddr::V6(Ipv6Addr::LOCALHOST)]);
    assert_eq!(resolver.lookup("gone.example", None), Err(ResolveError::NoSuchHost("gone.example".into())));
}

#[test]
fn files_and_literals_ask_nobody() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let server = serve(move |_, _| {
        counter.fetch_add(1, Ordering::SeqCst);
        None
    });
    let (resolver, _dir) = resolver(&[server], "");
    assert_eq!(resolver.lookup("listed.example", None).unwrap(), ["192.0.2.99".parse::<IpAddr>().unwrap()]);
    assert_eq!(resolver.lookup("[::1]", None).unwrap(), [IpAddr::V6(Ipv6Addr::LOCALHOST)]);
    assert_eq!(resolver.lookup("10.1.2.3", None).unwrap(), ["10.1.2.3".parse::<IpAddr>().unwrap()]);
    assert!(resolver.lookup("app.localhost", None).unwrap().contains(&Ipv4Addr::LOCALHOST.into()));
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

#[test]
fn long_answers_come_over_tcp() {
    let server = serve(|query, over_tcp| {
        if !is_a(query) {
            return Some(encode_answer(query, 0, false, &[]));
        }
        let records: Vec<_> =
            (0..40).map(|i| ("big.example", Record::Address(Ipv4Addr::new(127, 0, 1, i).into()))).collect();
        Some(if over_tcp {
            encode_answer(query, 0, false, &records)
        } else {
            encode_answer(query, 0, true, &[])
        })
    });
    let (resolver, _dir) = resolver(&[server], "");
    assert_eq!(resolver.lookup("big.example", None).unwrap().len(), 40);
}

#[test]
fn a_failing_server_is_passed_over_and_forgeries_are_ignored() {
    let broken = serve(|query, _| Some(encode_answer(query, 2, false, &[])));
    let good = serve(|query, _| {
        let records = [("x.example", Record::Address(V4))];
        Some(encode_answer(query, 0, false, if is_a(query) { &records } else { &[] }))
    });
    let (resolver_a, _dir) = resolver(&[broken, good], "options timeout:1\n");
    assert_eq!(resolver_a.lookup("x.example", None).unwrap(), [V4]);

    let forging = serve(|query, _| {
        let mut answer = encode_answer(query, 0, false, &[("x.example", Record::Address(V4))]);
        answer[0] ^= 0xff;
        Some(answer)
    });
    let (resolver_b, _dir) = resolver(&[forging], "options timeout:1 attempts:1\n");
    assert_eq!(resolver_b.lookup("x.example", None), Err(ResolveError::NoServer("x.example".into())));
}

#[test]
fn a_silent_server_ends_at_the_deadline_or_at_once_when_canceled() {
    let silent = serve(|_, _| None);
    let (mut resolver, _dir) = resolver(&[silent], "");
    let start = Instant::now();
    let deadline = Some(start + Duration::from_millis(300));
    assert_eq!(resolver.lookup("x.example", deadline), Err(ResolveError::NoServer("x.example".into())));
    assert!(start.elapsed() < Duration::from_secs(2));

    let canceled = Arc::new(AtomicBool::new(true));
    resolver.cancel = Arc::new(move || canceled.load(Ordering::SeqCst));
    let start = Instant::now();
    assert_eq!(resolver.lookup("x.example", None), Err(ResolveError::Canceled));
    assert!(start.elapsed() < Duration::from_secs(1));
}
