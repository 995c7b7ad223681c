//! `--call=METHOD[,format=FORMAT][,ignorestatus=BOOL]`: what `build` does instead of building.
//!
//! Source: buildx `util/buildflags/call.go` and its documentation of `--call`.

use crate::args::{Build, CheckFormat};
use crate::failure::Failure;

/// What to do instead of building.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// Check the Dockerfile.
    Check,
    /// Show what the target takes.
    Outline,
    /// List the targets.
    Targets,
    /// List these methods.
    Describe,
}

/// A call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) format: CheckFormat,
    /// End with 0 whatever was found.
    pub(crate) ignore_status: bool,
}

impl Call {
    pub(crate) fn new(method: Method) -> Self {
        Self { method, format: CheckFormat::Text, ignore_status: false }
    }

    /// What the flags ask for; `None`: a build. `--check` is short for `--call=check`.
    pub(crate) fn of(args: &Build) -> Result<Option<Self>, Failure> {
        match (&args.call, args.check) {
            (Some(text), true) if !matches!(text.as_str(), "check" | "lint") => {
                Err(Failure::usage(format!("--check and --call={text} contradict each other")))
            }
            (Some(text), _) => Self::parse(text),
            (None, true) => Ok(Some(Self::new(Method::Check))),
            (None, false) => Ok(None),
        }
    }

    fn parse(text: &str) -> Result<Option<Self>, Failure> {
        let wrong = |what: String| Failure::usage(format!("--call {text:?}: {what}"));
        let mut fields = text.split(',');
        let method = match fields.next().unwrap_or_default() {
            "" | "build" => None,
            "check" | "lint" => Some(Method::Check),
            "outline" => Some(Method::Outline),
            "targets" => Some(Method::Targets),
            "subrequests.describe" => Some(Method::Describe),
            other => {
                return Err(wrong(format!("there is no method {other:?}"))
                    .hint("there are build, check, outline, targets and subrequests.describe"));
            }
        };
        let mut call = method.map(Self::new);
        for field in fields {
            let (key, value) = field.split_once('=').unwrap_or((field, ""));
            let Some(call) = &mut call else { return Err(wrong(format!("{key} needs a method"))) };
            match (key, value) {
                ("format", "text") => call.format = CheckFormat::Text,
                ("format", "json") => call.format = CheckFormat::Json,
                ("format", "sarif") if call.method == Method::Check => call.format = CheckFormat::Sarif,
                ("format", other) => return Err(wrong(format!("there is no format {other:?}"))),
                ("ignorestatus", "true" | "1") => call.ignore_status = true,
                ("ignorestatus", "false" | "0") => call.ignore_status = false,
                _ => return Err(wrong(format!("{field:?} is not known"))),
            }
        }
        Ok(call)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods() {
        let call = |method, format, ignore_status| Some(Call { method, format, ignore_status });
        let cases = [
            ("build", None),
            ("check", call(Method::Check, CheckFormat::Text, false)),
            ("lint,format=json", call(Method::Check, CheckFormat::Json, false)),
            ("check,format=sarif,ignorestatus=true", call(Method::Check, CheckFormat::Sarif, true)),
            ("outline,format=json", call(Method::Outline, CheckFormat::Json, false)),
            ("targets", call(Method::Targets, CheckFormat::Text, false)),
            ("subrequests.describe", call(Method::Describe, CheckFormat::Text, false)),
        ];
        for (text, expected) in cases {
            assert_eq!(Call::parse(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn mistakes() {
        for text in ["chek", "check,format=xml", "targets,format=sarif", "build,format=json", "check,x=y"] {
            let error = Call::parse(text).unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        }
    }
}
