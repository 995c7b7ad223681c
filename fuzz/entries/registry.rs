//! What must hold whatever a registry answers. Used by the fuzz target, and by the test that replays the corpus on the
//! stable compiler.

use jettison_oci::{Descriptor, Digest, Reference};
use jettison_registry::fake::{Action, FakeRegistry, Fault};
use jettison_registry::{Client, Config};

/// Status of the answer, its headers line by line, an empty line, its body. The client ends, and believes no digest
/// that is not one of the bytes.
pub(crate) fn answer(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.trim().parse().ok()).unwrap_or(200);
    let is_header = |text: &str| text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    let headers: Vec<(String, String)> = lines
        .filter(|line| is_header(line))
        .filter_map(|line| line.split_once(": "))
        // A body that never comes is waited for; tests of its own show that.
        .filter(|(name, _)| !name.eq_ignore_ascii_case("content-length"))
        .filter(|(name, _)| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    if !(200..600).contains(&status) {
        return;
    }
    let registry = FakeRegistry::start();
    let respond = Action::Respond { status, headers, body: body.to_owned() };
    registry.fault(Fault::on("", "/v2/").times(u32::MAX).act(respond));
    let client = Client::new(Config::default().sleep(|_| {}));
    let reference: Reference = format!("{}/a:1", registry.host()).parse().expect("it is a reference");
    if let Ok(fetched) = client.manifest(&reference) {
        assert_eq!(fetched.descriptor.digest, Digest::sha256(&fetched.bytes));
    }
    let wanted = Descriptor::new("application/octet-stream", Digest::sha256(b"wanted"), 6);
    let mut got = Vec::new();
    if client.blob(&reference, &wanted, &mut got, &|_| {}).is_ok() {
        assert_eq!(got.len(), 6, "as many bytes as were promised; the store compares the digest");
    }
}
