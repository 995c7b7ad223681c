//! Authorization: finding out what a registry wants to see, and having it at hand.
//!
//! A registry is pinged (`GET /v2/`) when we have credentials for it or do not know its scheme. Without credentials the
//! first real request finds out by itself, which saves a round trip for every public image. A 401 in the middle of an
//! operation, or `insufficient_scope`, means: read the challenge again, widen the scope, get a new token, once more.
//! Where to read next: `challenge.rs`, `bearer.rs`.

use std::time::Instant;

use ureq::http::Method;

use super::bearer::{self, TOKEN_LEN_MAX, Token, TokenRequest};
use super::challenge::{self, Challenge};
use super::endpoint::{Endpoint, Wants};
use super::http::Payload;
use super::scope::Scopes;
use super::url::Url;
use super::{Request, Response, Target, Transport};
use crate::credentials::{Identity, Secret};
use crate::{Error, Result};

/// Most times that one request is sent with different authorizations: unknown, known, stale token replaced, widened.
pub(super) const MAX_ROUNDS: u32 = 4;

/// What goes into the `Authorization` header.
#[derive(Default)]
pub(super) struct Authorization {
    pub(super) header: Option<String>,
    /// The token in it.
    token: Option<String>,
    /// The token was made for this request, so that a new one would be no better.
    is_new: bool,
}

impl Transport {
    /// The registry's root, once its scheme is known.
    pub(super) fn base(&self, endpoint: &Endpoint) -> Result<Url> {
        let known = endpoint.state().scheme;
        let scheme = if let Some(scheme) = known {
            scheme
        } else {
            self.ping(endpoint)?;
            endpoint.state().scheme.unwrap_or(endpoint.schemes()[0])
        };
        Url::on(scheme, endpoint.authority(), "/").ok_or_else(|| Error::InvalidResponse {
            host: endpoint.host().to_owned(),
            what: "it is not a host name".to_owned(),
        })
    }

    /// What to send for `scopes`, as far as it is known.
    pub(super) fn authorization(
        &self,
        endpoint: &Endpoint,
        identity: &Identity,
        scopes: &Scopes,
    ) -> Result<Authorization> {
        if let Secret::RegistryToken(token) = &identity.secret {
            return Ok(Authorization { header: Some(format!("Bearer {token}")), ..Authorization::default() });
        }
        // The scheme first: for some registries finding it out is the ping.
        self.base(endpoint)?;
        if endpoint.state().wants == Wants::Unknown && !identity.is_anonymous() {
            self.ping(endpoint)?;
        }
        let wants = endpoint.state().wants.clone();
        match wants {
            Wants::Unknown | Wants::Nothing => Ok(Authorization::default()),
            Wants::Basic => Ok(Authorization { header: identity.basic(), ..Authorization::default() }),
            Wants::Bearer { realm, service } => self.bearer(endpoint, identity, &realm, &service, scopes),
        }
    }

    /// Draws conclusions from an answer: whether sending again can help, `wanted` being widened to what is asked for.
    pub(super) fn learn(
        &self,
        endpoint: &Endpoint,
        identity: &Identity,
        used: &Authorization,
        wanted: &mut Scopes,
        response: &Response,
    ) -> Result<bool> {
        // Other hosts that we were sent to have nothing to say about our registry.
        if !response.url().same_origin(&self.base(endpoint)?)
            || matches!(identity.secret, Secret::RegistryToken(_))
        {
            return Ok(false);
        }
        let challenges = challenge::parse(
            response
                .answer
                .headers
                .get_all("www-authenticate")
                .iter()
                .filter_map(|value| value.to_str().ok()),
        );
        let asks_for_more = challenges.iter().any(|c| c.param("error") == Some("insufficient_scope"));
        let chosen = challenge::choose(&challenges);
        match response.status() {
            401 | 403 if asks_for_more => {}
            401 if chosen.is_some() => {}
            // Some registries hide what anonymous people may not see instead of challenging them.
            401 | 403 | 404 if used.header.is_none() && !endpoint.state().pinged => {
                self.ping(endpoint)?;
                return Ok(!matches!(endpoint.state().wants, Wants::Nothing | Wants::Unknown));
            }
            _ => return Ok(false),
        }
        let Some(challenge) = chosen else { return Ok(false) };
        self.adopt(endpoint, challenge)?;
        let asked = Scopes::parse(challenge.param("scope").unwrap_or_default());
        let widened = !wanted.covers(&asked);
        // What is missing comes first: some registries read only the first scope.
        *wanted = asked.and(wanted);
        Ok(match &used.token {
            Some(token) => {
                endpoint.tokens().forget(token);
                widened || !used.is_new
            }
            // A refused password stays refused; without one, now we know what to send.
            None => used.header.is_none() && !(challenge.scheme == "basic" && identity.basic().is_none()),
        })
    }

    /// Asks the registry what it is and what it wants.
    pub(super) fn ping(&self, endpoint: &Endpoint) -> Result<()> {
        let _guard = endpoint.ping_lock();
        if endpoint.state().pinged {
            return Ok(());
        }
        let fixed = endpoint.state().scheme;
        let schemes = fixed.as_ref().map_or(endpoint.schemes(), std::slice::from_ref);
        let mut failure = None;
        for (i, scheme) in schemes.iter().enumerate() {
            let is_last = i + 1 == schemes.len();
            let result = self.ping_with(endpoint, Url::on(*scheme, endpoint.authority(), "/v2/"), is_last);
            match result {
                // A TLS port answers 400 to plain http.
                Ok(response) if response.status() == 400 && !is_last => response.discard(),
                Ok(response) => return self.pinged(endpoint, *scheme, response),
                Err(Error::Canceled) => return Err(Error::Canceled),
                // The first failure is about the scheme that people expect.
                Err(error) => {
                    failure.get_or_insert(error);
                }
            }
        }
        Err(failure.unwrap_or_else(|| Error::InvalidResponse {
            host: endpoint.host().to_owned(),
            what: "it speaks neither http nor https".to_owned(),
        }))
    }

    fn ping_with(&self, endpoint: &Endpoint, url: Option<Url>, retry: bool) -> Result<Response> {
        let url = url.ok_or_else(|| Error::InvalidResponse {
            host: endpoint.host().to_owned(),
            what: "it is not a host name".to_owned(),
        })?;
        self.with_retries(retry, || {
            let answer = self.http.run(&Method::GET, &url, &[], Payload::None, endpoint.insecure())?;
            Ok(Response {
                answer,
                repository: String::new(),
                action: "say what it is".to_owned(),
                identity: String::new(),
            })
        })
    }

    fn pinged(&self, endpoint: &Endpoint, scheme: super::url::Scheme, response: Response) -> Result<()> {
        endpoint.state().scheme = Some(scheme);
        let challenges = challenge::parse(
            response
                .answer
                .headers
                .get_all("www-authenticate")
                .iter()
                .filter_map(|value| value.to_str().ok()),
        );
        if response.status() == 401
            && let Some(challenge) = challenge::choose(&challenges)
        {
            self.adopt(endpoint, challenge)?;
        } else {
            let mut state = endpoint.state();
            if state.wants == Wants::Unknown {
                state.wants = Wants::Nothing;
            }
        }
        endpoint.state().pinged = true;
        response.discard();
        Ok(())
    }

    /// Remembers what the registry wants. The token server must be a place where a registry may send us.
    fn adopt(&self, endpoint: &Endpoint, challenge: &Challenge) -> Result<()> {
        let wants = if challenge.scheme == "basic" {
            Wants::Basic
        } else {
            let home = self.base(endpoint)?;
            let realm = self.next_url(endpoint, &home, challenge.param("realm").unwrap_or_default())?;
            Wants::Bearer { realm, service: challenge.param("service").unwrap_or_default().to_owned() }
        };
        endpoint.state().wants = wants;
        Ok(())
    }

    fn bearer(
        &self,
        endpoint: &Endpoint,
        identity: &Identity,
        realm: &Url,
        service: &str,
        scopes: &Scopes,
    ) -> Result<Authorization> {
        let owner = identity.key();
        // Held while a token is being fetched: many threads that need the same one fetch it once.
        let mut tokens = endpoint.tokens();
        let now = Instant::now();
        if let Some(token) = tokens.find(&owner, scopes, now) {
            return Ok(authorize(&token.value, false));
        }
        let (value, lifetime) = self.fetch_token(endpoint, identity, realm, service, scopes)?;
        let authorization = authorize(&value, true);
        let renew_at = bearer::renew_at(now, lifetime);
        tokens.add(Token { value, scopes: scopes.clone(), owner, renew_at }, now);
        Ok(authorization)
    }

    fn fetch_token(
        &self,
        endpoint: &Endpoint,
        identity: &Identity,
        realm: &Url,
        service: &str,
        scopes: &Scopes,
    ) -> Result<(String, std::time::Duration)> {
        if let Some(request) = bearer::post_request(realm, service, scopes, identity) {
            let response = self.ask_token_server(endpoint, &request, None, identity, scopes)?;
            // Token servers without OAuth2 know the GET form only.
            if !matches!(response.status(), 404 | 405) {
                return self.read_token(response);
            }
            response.discard();
        }
        let request = bearer::get_request(realm, service, scopes);
        let response =
            self.ask_token_server(endpoint, &request, identity.basic().as_deref(), identity, scopes)?;
        self.read_token(response)
    }

    fn ask_token_server(
        &self,
        endpoint: &Endpoint,
        request: &TokenRequest,
        authorization: Option<&str>,
        identity: &Identity,
        scopes: &Scopes,
    ) -> Result<Response> {
        let scopes: Vec<_> = scopes.iter().collect();
        let action = if scopes.is_empty() {
            "give a token".to_owned()
        } else {
            format!("give a token for {}", scopes.join(" "))
        };
        let mut ask = Request::new(Method::GET, Target::Url(request.url.clone()), "", Scopes::none(), action);
        if let Some(form) = &request.form {
            ask.method = Method::POST;
            ask = ask
                .header("Content-Type", "application/x-www-form-urlencoded")
                .payload(Payload::Bytes(form.as_bytes()));
        }
        self.with_retries(true, || {
            let answer = self.follow_token(endpoint, &ask, &request.url, authorization)?;
            Ok(Response {
                answer,
                repository: String::new(),
                action: ask.action.clone(),
                identity: identity.describe(),
            })
        })
    }

    /// One redirect of a token server is followed, without the password.
    fn follow_token(
        &self,
        endpoint: &Endpoint,
        ask: &Request<'_>,
        url: &Url,
        authorization: Option<&str>,
    ) -> Result<super::Answer> {
        let mut headers = ask.headers.clone();
        headers.extend(authorization.map(|value| ("Authorization", value.to_owned())));
        let insecure = |url: &Url| {
            self.base(endpoint).is_ok_and(|home| url.same_origin(&home)) && endpoint.insecure()
                || (self.trusted)(&url.place())
        };
        let answer = self.http.run(&ask.method, url, &headers, ask.payload, insecure(url))?;
        match (answer.status, answer.header("location")) {
            (301 | 302 | 303 | 307 | 308, Some(location)) if ask.method == Method::GET => {
                let next = self.next_url(endpoint, url, location)?;
                if !next.same_origin(url) {
                    headers.retain(|(name, _)| *name != "Authorization");
                }
                self.http.run(&ask.method, &next, &headers, ask.payload, insecure(&next))
            }
            _ => Ok(answer),
        }
    }

    fn read_token(&self, response: Response) -> Result<(String, std::time::Duration)> {
        let mut response = response.expect(&[200])?;
        let bytes = super::read_up_to(&mut response.answer, TOKEN_LEN_MAX);
        self.check_canceled()?;
        if bytes.len() as u64 > TOKEN_LEN_MAX {
            return Err(Error::TooLarge { host: response.host(), what: "the token", limit: TOKEN_LEN_MAX });
        }
        bearer::parse_answer(&bytes).ok_or_else(|| response.invalid("its token document has no usable token"))
    }
}

fn authorize(token: &str, is_new: bool) -> Authorization {
    Authorization { header: Some(format!("Bearer {token}")), token: Some(token.to_owned()), is_new }
}
