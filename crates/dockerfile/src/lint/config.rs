//! `# check=skip=A,B|all;error=true;experimental=X|all`: which rules run, and whether a finding fails the build.

use super::rule::RULES;

/// Which rules are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Every rule.
    All,
    /// Those of these names.
    Named(Vec<String>),
}

impl Default for Selection {
    fn default() -> Self {
        Self::Named(Vec::new())
    }
}

impl Selection {
    fn parse(text: &str) -> Self {
        match text.trim() {
            "all" => Self::All,
            list => Self::Named(list.split(',').map(|name| name.trim().to_owned()).collect()),
        }
    }

    /// Whether the rule is meant.
    pub fn contains(&self, rule: &str) -> bool {
        matches!(self, Self::All) || self.names(rule)
    }

    /// Whether the rule is meant by its very name.
    pub fn names(&self, rule: &str) -> bool {
        matches!(self, Self::Named(names) if names.iter().any(|name| name == rule))
    }

    fn unknown(&self) -> impl Iterator<Item = &str> {
        let names = match self {
            Self::All => &[][..],
            Self::Named(names) => names,
        };
        names.iter().map(String::as_str).filter(|name| RULES.iter().all(|rule| rule.name != *name))
    }
}

/// A whole configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Rules that do not run.
    pub skip: Selection,
    /// Experimental rules that do run.
    pub experimental: Selection,
    /// Whether a finding fails the build.
    pub error: bool,
}

impl Config {
    /// Reads the value of `# check=` or of the build argument `BUILDKIT_DOCKERFILE_CHECK`.
    ///
    /// # Errors
    /// What is wrong, in BuildKit's words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut config = Self::default();
        if text.trim().is_empty() {
            return Ok(config);
        }
        for option in text.trim().split(';') {
            let Some((key, value)) = option.split_once('=') else {
                return Err(format!("invalid check option {option:?}"));
            };
            match key.trim() {
                "skip" => config.skip = Selection::parse(value),
                "experimental" => config.experimental = Selection::parse(value),
                "error" => {
                    config.error = match value.trim() {
                        "1" | "t" | "T" | "TRUE" | "true" | "True" => true,
                        "0" | "f" | "F" | "FALSE" | "false" | "False" => false,
                        other => {
                            return Err(format!(
                                "failed to parse check option {option:?}: {other:?} is neither true nor false"
                            ));
                        }
                    }
                }
                key => return Err(format!("invalid check option {key:?}")),
            }
        }
        Ok(config)
    }

    /// The configuration in a comment above an instruction: the first that begins with `check=` counts, up to a
    /// blank; one that cannot be read changes nothing.
    pub(super) fn of_comments(comments: &[String]) -> Option<Self> {
        let value = comments.iter().find_map(|comment| {
            let key = comment.get(..5).filter(|key| key.eq_ignore_ascii_case("check"))?;
            comment[key.len()..].trim_start().strip_prefix('=')
        })?;
        Self::parse(value.split_whitespace().next()?).ok()
    }

    /// Names that are those of no rule.
    pub fn unknown_rules(&self) -> impl Iterator<Item = &str> {
        self.skip.unknown().chain(self.experimental.unknown())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(names: &[&str]) -> Selection {
        Selection::Named(names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn options() {
        let cases: &[(&str, Config)] = &[
            ("", Config::default()),
            ("skip=all", Config { skip: Selection::All, ..Config::default() }),
            (
                " skip = A , B ; error = true ; experimental = all ",
                Config { skip: named(&["A", "B"]), experimental: Selection::All, error: true },
            ),
            ("error=0;experimental=X", Config { experimental: named(&["X"]), ..Config::default() }),
        ];
        for (text, expected) in cases {
            assert_eq!(Config::parse(text).as_ref(), Ok(expected), "{text:?}");
        }
    }

    #[test]
    fn mistakes() {
        let cases = [
            ("skip", "invalid check option \"skip\""),
            ("skip=A;", "invalid check option \"\""),
            ("skp=A", "invalid check option \"skp\""),
            (
                "error=maybe",
                "failed to parse check option \"error=maybe\": \"maybe\" is neither true nor false",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(Config::parse(text), Err(expected.to_owned()), "{text:?}");
        }
    }

    #[test]
    fn comments() {
        let own = |comment: &str| Config::of_comments(&["about".to_owned(), comment.to_owned()]);
        assert_eq!(own("check=skip=A // because").map(|c| c.skip), Some(named(&["A"])));
        assert_eq!(own("CHECK = skip=all").map(|c| c.skip), Some(Selection::All));
        for other in ["check=nonsense", "checks=skip=all", "check", "check=", "été"] {
            assert_eq!(own(other), None, "{other}");
        }
    }

    #[test]
    fn names_of_no_rule() {
        let config = Config::parse("skip=UndefinedVar,Undefined;experimental=X").unwrap();
        assert_eq!(config.unknown_rules().collect::<Vec<_>>(), ["Undefined", "X"]);
    }
}
