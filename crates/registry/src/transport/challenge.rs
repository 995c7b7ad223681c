//! `WWW-Authenticate`: what a registry wants to see. Pure.
//!
//! There may be several headers, and several challenges in one, with commas both between challenges and between
//! their parameters (RFC 9110 section 11.6.1). Negotiate and other schemes are skipped, as go-containerregistry does.

/// One challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Challenge {
    /// Lower case.
    pub(crate) scheme: String,
    params: Vec<(String, String)>,
}

impl Challenge {
    /// A parameter by its lower-case name.
    pub(crate) fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// All challenges of all headers, in order. Never fails: what cannot be understood is left out.
pub(crate) fn parse<'a>(headers: impl IntoIterator<Item = &'a str>) -> Vec<Challenge> {
    headers.into_iter().flat_map(parse_one).collect()
}

/// The challenge to answer: Bearer with a realm first, then Basic.
pub(crate) fn choose(challenges: &[Challenge]) -> Option<&Challenge> {
    let bearer = challenges.iter().find(|c| c.scheme == "bearer" && c.param("realm").is_some());
    bearer.or_else(|| challenges.iter().find(|c| c.scheme == "basic"))
}

fn parse_one(text: &str) -> Vec<Challenge> {
    let mut out: Vec<Challenge> = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([',', ' ', '\t']);
        let (token, after) = take_token(rest);
        if token.is_empty() {
            // Nothing that could start a challenge or a parameter: skip one character, or end.
            let mut chars = rest.chars();
            if chars.next().is_none() {
                return out;
            }
            rest = chars.as_str();
            continue;
        }
        let value = after.trim_start_matches([' ', '\t']).strip_prefix('=');
        match (value, out.last_mut()) {
            (Some(value), Some(challenge)) if !is_padding(value) => {
                let (value, after) = take_value(value.trim_start_matches([' ', '\t']));
                challenge.params.push((token.to_ascii_lowercase(), value));
                rest = after;
            }
            (Some(value), _) => rest = value,
            (None, _) => {
                out.push(Challenge { scheme: token.to_ascii_lowercase(), params: Vec::new() });
                rest = skip_token68(after);
            }
        }
    }
}

/// `Negotiate dG9rZW4=`: a blob instead of parameters.
fn skip_token68(text: &str) -> &str {
    let (_, after) = take_token(text.trim_start_matches([' ', '\t']));
    let end = after.trim_start_matches('=').trim_start_matches([' ', '\t']);
    if after.starts_with('=') && is_padding(&after[1..]) && (end.is_empty() || end.starts_with(',')) {
        end
    } else {
        text
    }
}

fn is_padding(after_equals: &str) -> bool {
    let rest = after_equals.trim_start_matches('=').trim_start_matches([' ', '\t']);
    rest.is_empty() || rest.starts_with(',')
}

fn take_token(text: &str) -> (&str, &str) {
    let end = text.find([' ', '\t', ',', '=', '"']).unwrap_or(text.len());
    text.split_at(end)
}

fn take_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        // Not quoted: URLs come like this from sloppy servers, so `=` may be part of it.
        let (value, after) = text.split_at(text.find([' ', '\t', ',']).unwrap_or(text.len()));
        return (value.to_owned(), after);
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((i, c)) = chars.next() {
        match c {
            '"' => return (value, &quoted[i + 1..]),
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            c => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(headers: &[&str]) -> Vec<String> {
        let show = |c: &Challenge| {
            let params: Vec<_> = c.params.iter().map(|(k, v)| format!("{k}={v}")).collect();
            format!("{} {}", c.scheme, params.join("|")).trim_end().to_owned()
        };
        parse(headers.iter().copied()).iter().map(show).collect()
    }

    #[test]
    fn what_registries_send() {
        assert_eq!(
            shown(&[
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/golang:pull,push""#
            ]),
            [
                "bearer realm=https://auth.docker.io/token|service=registry.docker.io|scope=repository:library/golang:pull,push"
            ]
        );
        assert_eq!(
            shown(&[r#"Negotiate, Basic realm="a, b", BEARER  Realm = "x\"y" ,error="insufficient_scope""#]),
            ["negotiate", "basic realm=a, b", "bearer realm=x\"y|error=insufficient_scope"]
        );
        assert_eq!(shown(&["Negotiate YII==", "Basic realm=plain"]), ["negotiate", "basic realm=plain"]);
        assert_eq!(shown(&["NTLM abc, Basic"]), ["ntlm", "abc", "basic"]);
        assert_eq!(
            shown(&["Bearer realm=https://a/token?x=y,service=s"]),
            ["bearer realm=https://a/token?x=y|service=s"]
        );
        assert_eq!(shown(&["", ",,", "=", r#"Bearer realm="open"#]), ["bearer realm=open"]);
    }

    #[test]
    fn bearer_before_basic_and_nothing_else() {
        let pick = |text: &str| choose(&parse([text])).map(|c| c.scheme.clone());
        assert_eq!(pick(r#"Basic realm="x", Bearer realm="y""#).as_deref(), Some("bearer"));
        assert_eq!(pick(r#"Bearer service="y", Basic realm="x""#).as_deref(), Some("basic"));
        assert_eq!(pick("Negotiate"), None);
    }

    proptest! {
        #[test]
        fn never_panics_or_hangs(text in "[Bb=\", \\\\a-zé]{0,60}") {
            let _ = parse([text.as_str()]);
        }
    }
}
