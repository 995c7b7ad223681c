//! Tokens: getting them from the server that a challenge names, and keeping them while they last.
//!
//! Source: distribution `docs/spec/auth/token.md` (GET) and `oauth.md` (POST with an identity token).

use std::time::{Duration, Instant};

use serde::Deserialize;

use super::scope::Scopes;
use super::url::{Url, encode_component};
use crate::credentials::{Identity, Secret};

/// Largest token document, bytes (go-containerregistry).
pub(crate) const TOKEN_LEN_MAX: u64 = 64 * 1024;
/// Tokens live at least this long, whatever is said, or when nothing is said (containers/image
/// `minimumTokenLifetimeSeconds`). One that dies earlier is replaced when the registry says 401.
const LIFETIME_MIN: Duration = Duration::from_secs(60);
/// How we introduce ourselves to OAuth2 servers.
const CLIENT_ID: &str = "jettison";

/// A token and what it is good for.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) value: String,
    pub(crate) scopes: Scopes,
    /// Whose it is, see [`Identity::key`].
    pub(crate) owner: String,
    pub(crate) renew_at: Instant,
}

/// The tokens of one registry.
#[derive(Default)]
pub(crate) struct Tokens(Vec<Token>);

impl Tokens {
    /// A living token of `owner` for `scopes`.
    pub(crate) fn find(&self, owner: &str, scopes: &Scopes, now: Instant) -> Option<&Token> {
        self.0.iter().find(|t| t.owner == owner && t.renew_at > now && t.scopes.covers(scopes))
    }

    /// Keeps `token` and drops dead ones.
    pub(crate) fn add(&mut self, token: Token, now: Instant) {
        self.0.retain(|t| t.renew_at > now);
        self.0.push(token);
    }

    /// Drops the token that a registry would not accept.
    pub(crate) fn forget(&mut self, value: &str) {
        self.0.retain(|t| t.value != value);
    }
}

/// What to send to a token server.
pub(crate) struct TokenRequest {
    pub(crate) url: Url,
    /// For a POST.
    pub(crate) form: Option<String>,
}

/// The GET form: scopes in the query, each in its own parameter.
pub(crate) fn get_request(realm: &Url, service: &str, scopes: &Scopes) -> TokenRequest {
    let mut url = realm.clone();
    if !service.is_empty() {
        url = url.with_query("service", service);
    }
    for scope in scopes.iter() {
        url = url.with_query("scope", &scope);
    }
    TokenRequest { url, form: None }
}

/// The OAuth2 form, for identities that are refresh tokens.
pub(crate) fn post_request(
    realm: &Url,
    service: &str,
    scopes: &Scopes,
    identity: &Identity,
) -> Option<TokenRequest> {
    let Secret::IdentityToken(token) = &identity.secret else { return None };
    let scope = scopes.iter().collect::<Vec<_>>().join(" ");
    let fields = [
        ("grant_type", "refresh_token"),
        ("refresh_token", token),
        ("service", service),
        ("scope", &scope),
        ("client_id", CLIENT_ID),
    ];
    let form: Vec<_> =
        fields.iter().map(|(key, value)| format!("{key}={}", encode_component(value))).collect();
    Some(TokenRequest { url: realm.clone(), form: Some(form.join("&")) })
}

/// The value and lifetime in a token server's answer.
pub(crate) fn parse_answer(bytes: &[u8]) -> Option<(String, Duration)> {
    #[derive(Deserialize)]
    struct Document {
        token: Option<String>,
        access_token: Option<String>,
        expires_in: Option<serde_json::Number>,
    }
    let document: Document = serde_json::from_slice(bytes).ok()?;
    let value = [document.token, document.access_token].into_iter().flatten().find(|t| !t.is_empty())?;
    // A header cannot carry anything else, and neither should a token.
    if !value.bytes().all(|b| b.is_ascii_graphic()) {
        return None;
    }
    let seconds = document.expires_in.and_then(|n| n.as_f64()).unwrap_or(0.0).clamp(0.0, 1e9);
    Some((value, Duration::from_secs_f64(seconds).max(LIFETIME_MIN)))
}

/// When to get a new one: a little before the old one dies, so that it survives the way to the registry.
pub(crate) fn renew_at(now: Instant, lifetime: Duration) -> Instant {
    now + lifetime.saturating_sub((lifetime / 10).min(Duration::from_secs(10)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        let seconds = |text: &str| parse_answer(text.as_bytes()).map(|(t, d)| (t, d.as_secs()));
        assert_eq!(seconds(r#"{"token":"a","expires_in":300}"#), Some(("a".into(), 300)));
        assert_eq!(seconds(r#"{"token":"","access_token":"b","expires_in":5}"#), Some(("b".into(), 60)));
        assert_eq!(seconds(r#"{"access_token":"b"}"#), Some(("b".into(), 60)));
        assert_eq!(seconds(r#"{"token":"b","expires_in":-7.5}"#), Some(("b".into(), 60)));
        assert_eq!(seconds(r#"{"token":"a\r\nX: y"}"#), None);
        assert_eq!(seconds(r#"{"expires_in":60}"#), None);
    }

    #[test]
    fn both_requests() {
        let realm = Url::parse("https://auth.example/token?x=1").unwrap();
        let scopes = Scopes::push("a").and(&Scopes::pull("b/c"));
        assert_eq!(
            get_request(&realm, "reg istry", &scopes).url.to_string(),
            "https://auth.example/token?x=1&service=reg%20istry&scope=repository%3Aa%3Apull%2Cpush&scope=repository%3Ab%2Fc%3Apull"
        );
        let identity = Identity { secret: Secret::IdentityToken("r&t".into()), ..Identity::anonymous() };
        assert_eq!(
            post_request(&realm, "s", &scopes, &identity).unwrap().form.as_deref(),
            Some(
                "grant_type=refresh_token&refresh_token=r%26t&service=s&scope=repository%3Aa%3Apull%2Cpush%20repository%3Ab%2Fc%3Apull&client_id=jettison"
            )
        );
        assert!(post_request(&realm, "s", &scopes, &Identity::anonymous()).is_none());
    }

    #[test]
    fn tokens_are_found_by_owner_scope_and_time() {
        let now = Instant::now();
        let token = Token {
            value: "v".into(),
            scopes: Scopes::push("a"),
            owner: "me".into(),
            renew_at: renew_at(now, Duration::from_secs(60)),
        };
        let mut tokens = Tokens::default();
        tokens.add(token, now);
        assert!(tokens.find("me", &Scopes::pull("a"), now).is_some());
        assert!(tokens.find("you", &Scopes::pull("a"), now).is_none());
        assert!(tokens.find("me", &Scopes::pull("b"), now).is_none());
        assert!(tokens.find("me", &Scopes::pull("a"), now + Duration::from_secs(56)).is_none());
        tokens.forget("v");
        assert!(tokens.find("me", &Scopes::pull("a"), now).is_none());
    }
}
