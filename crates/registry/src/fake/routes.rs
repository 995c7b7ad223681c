//! What the fake registry does: the distribution protocol over maps in memory, and a token server.

use std::sync::Arc;
use std::time::Instant;

use base64::Engine;
use jettison_oci::Digest;

use super::server::{Request, Response};
use super::{Auth, State, Token, TokenAuth, Upload};

/// Answers one request.
pub(super) fn route(state: &mut State, host: &str, request: &Request) -> Response {
    if request.path() == "/token" {
        return token(state, request);
    }
    if let Some(refusal) = refuse(state, host, request) {
        return refusal;
    }
    let Some(path) = request.path().strip_prefix("/v2/") else { return Response::new(404) };
    if path.is_empty() {
        return Response::new(200).body("{}");
    }
    if request.method == "HEAD" && state.no_head {
        return Response::new(405);
    }
    if let Some((repository, reference)) = path.rsplit_once("/manifests/") {
        return manifest(state, request, repository, reference);
    }
    if let Some((repository, id)) = path.split_once("/blobs/uploads/") {
        let id = id.trim_end_matches('/');
        return if id.is_empty() {
            start(state, request, repository)
        } else {
            upload(state, request, repository, id)
        };
    }
    match path.rsplit_once("/blobs/") {
        Some((repository, digest)) => blob(state, request, repository, digest),
        None => Response::new(404),
    }
}

/// The refusal, if the request is not authorized.
fn refuse(state: &mut State, host: &str, request: &Request) -> Option<Response> {
    let header = request.headers.get("authorization").map(String::as_str);
    let unauthorized = || Response::error(401, "UNAUTHORIZED", "authentication required");
    match &state.auth {
        Auth::Nothing => None,
        Auth::Basic { user, password } => {
            let good = header == Some(&basic(user, password));
            (!good).then(|| unauthorized().header("WWW-Authenticate", "Basic realm=\"fake\""))
        }
        Auth::Token(settings) => {
            let needed = needed_scopes(request);
            let now = Instant::now();
            let token = header.and_then(|h| h.strip_prefix("Bearer ")).and_then(|t| state.tokens.get(t));
            let token = token.filter(|t| t.dies.is_none_or(|dies| now < dies));
            if token.is_some_and(|t| needed.iter().all(|n| allows(&t.scopes, n))) {
                return None;
            }
            let realm = settings.realm.clone().unwrap_or_else(|| format!("http://{host}/token"));
            let mut challenge = format!("Bearer realm=\"{realm}\",service=\"fake\"");
            // As real ones do, only what the path itself needs.
            if let Some((name, action)) = needed.first() {
                let actions = if *action == "push" { "pull,push" } else { action };
                challenge = format!("{challenge},scope=\"repository:{name}:{actions}\"");
            }
            if token.is_some() {
                challenge.push_str(",error=\"insufficient_scope\"");
            }
            let value =
                settings.challenges.as_ref().map_or(challenge.clone(), |t| t.replace("{}", &challenge));
            Some(unauthorized().header("WWW-Authenticate", value))
        }
    }
}

fn basic(user: &str, password: &str) -> String {
    let text = format!("{user}:{password}");
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text))
}

/// Repository and action for each thing that a request touches.
fn needed_scopes(request: &Request) -> Vec<(String, &'static str)> {
    let path = request.path().strip_prefix("/v2/").unwrap_or_default();
    let name = ["/manifests/", "/blobs/"].iter().find_map(|part| path.split_once(part)).map(|(name, _)| name);
    let Some(name) = name else { return Vec::new() };
    let is_upload = path.contains("/blobs/uploads/");
    let action =
        if matches!(request.method.as_str(), "GET" | "HEAD") && !is_upload { "pull" } else { "push" };
    let mut needed = vec![(name.to_owned(), action)];
    needed.extend(request.query("from").into_iter().map(|from| (from, "pull")));
    needed
}

fn allows(scopes: &[String], (name, action): &(String, &'static str)) -> bool {
    scopes.iter().any(|scope| {
        let rest = scope.strip_prefix("repository:").and_then(|s| s.strip_prefix(name.as_str()));
        rest.and_then(|r| r.strip_prefix(':')).is_some_and(|actions| actions.split(',').any(|a| a == *action))
    })
}

fn token(state: &mut State, request: &Request) -> Response {
    let Auth::Token(settings) = state.auth.clone() else { return Response::new(404) };
    let scopes = if request.method == "POST" {
        let Some(wanted) = &settings.identity_token else { return Response::new(404) };
        if request.form("refresh_token") != [wanted.clone()]
            || request.form("grant_type") != ["refresh_token"]
        {
            return Response::new(401)
                .body(r#"{"error":"invalid_grant","error_description":"unknown refresh token"}"#);
        }
        request
            .form("scope")
            .iter()
            .flat_map(|s| s.split(' ').map(str::to_owned).collect::<Vec<_>>())
            .collect()
    } else {
        if let Some((user, password)) = &settings.login
            && request.headers.get("authorization") != Some(&basic(user, password))
        {
            return Response::new(401).body(r#"{"details":"incorrect username or password"}"#);
        }
        request.query("scope")
    };
    state.counter += 1;
    let value = format!("token-{}", state.counter);
    let dies = settings.lives.map(|lives| Instant::now() + lives);
    state.tokens.insert(value.clone(), Token { scopes, dies });
    Response::new(200).body(token_document(&settings, &value, request.method == "POST"))
}

fn token_document(settings: &TokenAuth, value: &str, is_oauth: bool) -> String {
    let key = if is_oauth { "access_token" } else { "token" };
    let mut document = serde_json::json!({ key: value });
    if let Some(seconds) = settings.expires_in {
        document["expires_in"] = seconds.into();
    }
    document.to_string()
}

fn manifest(state: &mut State, request: &Request, repository: &str, reference: &str) -> Response {
    let key = (repository.to_owned(), reference.to_owned());
    match request.method.as_str() {
        "GET" | "HEAD" => match state.manifests.get(&key) {
            Some((media_type, bytes)) => Response::new(200)
                .header("Content-Type", media_type.as_str())
                .header("Docker-Content-Digest", Digest::sha256(bytes).to_string())
                .body(bytes.to_vec()),
            None => Response::error(404, "MANIFEST_UNKNOWN", "manifest unknown"),
        },
        "PUT" => {
            let digest = Digest::sha256(&request.body);
            if reference.contains(':') && reference != digest.to_string() {
                return Response::error(
                    400,
                    "DIGEST_INVALID",
                    "provided digest did not match uploaded content",
                );
            }
            let media_type = request.headers.get("content-type").cloned().unwrap_or_default();
            let value = (media_type, Arc::new(request.body.clone()));
            state.manifests.insert(key, value.clone());
            state.manifests.insert((repository.to_owned(), digest.to_string()), value);
            Response::new(201).header("Docker-Content-Digest", digest.to_string())
        }
        _ => Response::new(405),
    }
}

fn blob(state: &mut State, request: &Request, repository: &str, digest: &str) -> Response {
    let Some(bytes) = state.blobs.get(&(repository.to_owned(), digest.to_owned())) else {
        return Response::error(404, "BLOB_UNKNOWN", "blob unknown to registry");
    };
    let range = request.headers.get("range").filter(|_| !state.no_ranges);
    let start = range.and_then(|r| r.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    match start {
        Some(start) if start < bytes.len() => Response::new(206)
            .header("Content-Range", format!("bytes {start}-{}/{}", bytes.len() - 1, bytes.len()))
            .body(&bytes[start..]),
        Some(_) => Response::new(416),
        None => Response::new(200).body(bytes.to_vec()),
    }
}

/// A new session; returns its address.
pub(super) fn open_upload(state: &mut State, repository: &str) -> String {
    state.counter += 1;
    let id = format!("upload-{}", state.counter);
    state.uploads.insert(id.clone(), Upload { repository: repository.to_owned(), ..Upload::default() });
    location(repository, &id, 0)
}

fn location(repository: &str, id: &str, state: u64) -> String {
    format!("/v2/{repository}/blobs/uploads/{id}?state={state}")
}

fn start(state: &mut State, request: &Request, repository: &str) -> Response {
    if request.method != "POST" {
        return Response::new(405);
    }
    if !request.headers.contains_key("content-length") {
        return Response::new(411);
    }
    if let (Some(digest), Some(from)) = (request.query("mount").first(), request.query("from").first())
        && let Some(bytes) = state.blobs.get(&(from.clone(), digest.clone())).cloned()
    {
        state.blobs.insert((repository.to_owned(), digest.clone()), bytes);
        return Response::new(201).header("Location", format!("/v2/{repository}/blobs/{digest}"));
    }
    let address = open_upload(state, repository);
    with_limits(state, Response::new(202).header("Location", address).header("Range", "0-0"))
}

fn with_limits(state: &State, response: Response) -> Response {
    match state.chunk_len_min {
        Some(len) => response.header("OCI-Chunk-Min-Length", len.to_string()),
        None => response,
    }
}

fn upload(state: &mut State, request: &Request, repository: &str, id: &str) -> Response {
    let unknown = || Response::error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry");
    let chunk_len_min = state.chunk_len_min.unwrap_or(0);
    let Some(upload) = state.uploads.get_mut(id).filter(|u| u.repository == repository) else {
        return unknown();
    };
    let is_current = request.query("state") == [upload.state.to_string()];
    let range = |upload: &Upload| format!("0-{}", upload.bytes.len().saturating_sub(1));
    match request.method.as_str() {
        "DELETE" => {
            state.uploads.remove(id);
            Response::new(204)
        }
        "GET" => {
            let response = Response::new(204)
                .header("Range", range(upload))
                .header("Location", location(repository, id, upload.state));
            with_limits(state, response)
        }
        _ if !is_current => Response::error(400, "BLOB_UPLOAD_INVALID", "stale upload address"),
        "PATCH" => {
            let start =
                request.headers.get("content-range").and_then(|r| r.split_once('-')?.0.parse::<usize>().ok());
            upload.state += 1;
            let address = location(repository, id, upload.state);
            if start != Some(upload.bytes.len()) || upload.ended {
                return Response::new(416).header("Range", range(upload)).header("Location", address);
            }
            upload.ended = (request.body.len() as u64) < chunk_len_min;
            upload.bytes.extend_from_slice(&request.body);
            let response = Response::new(202).header("Range", range(upload)).header("Location", address);
            with_limits(state, response)
        }
        "PUT" => {
            upload.bytes.extend_from_slice(&request.body);
            let digest = Digest::sha256(&upload.bytes);
            if request.query("digest") != [digest.to_string()] {
                return Response::error(
                    400,
                    "DIGEST_INVALID",
                    "provided digest did not match uploaded content",
                );
            }
            let bytes = Arc::new(std::mem::take(&mut upload.bytes));
            state.uploads.remove(id);
            state.blobs.insert((repository.to_owned(), digest.to_string()), bytes);
            Response::new(201).header("Location", format!("/v2/{repository}/blobs/{digest}"))
        }
        _ => Response::new(405),
    }
}

/// What arrived of a request that was cut off: kept, if it belongs to an upload.
pub(super) fn keep_part(state: &mut State, request: &Request) {
    let Some((_, id)) = request.path().split_once("/blobs/uploads/") else { return };
    if let Some(upload) = state.uploads.get_mut(id) {
        upload.bytes.extend_from_slice(&request.body);
        upload.state += 1;
    }
}
