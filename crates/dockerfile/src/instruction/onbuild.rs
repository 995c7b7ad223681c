//! ONBUILD: an instruction kept as text. It is not checked here: it is read in the build that runs it.

use super::Reader;
use crate::ast::{Onbuild, Spanned};

pub(super) fn read(reader: &mut Reader<'_>) -> Option<Onbuild> {
    let arguments = reader.statement.arguments();
    let (keyword, _) = arguments.cut_blank();
    match keyword.text().to_ascii_uppercase().as_str() {
        "" => {
            reader.arguments_error("requires at least one argument");
            return None;
        }
        "ONBUILD" => {
            let message = "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed";
            reader.error("onbuild", message, keyword.span());
            return None;
        }
        name @ ("MAINTAINER" | "FROM") => {
            let message = format!("{name} isn't allowed as an ONBUILD trigger");
            reader.error("onbuild", message, keyword.span());
            return None;
        }
        _ => {}
    }
    reader.no_flags()?;
    let text = reader.statement.behind_keyword();
    let mut span = text.span();
    let mut value = text.text().to_owned();
    for document in &reader.statement.documents {
        value.push('\n');
        value.push_str(&document.reconstituted());
        span.end = reader.statement.span.end;
    }
    Some(Onbuild { trigger: Spanned { value, span } })
}
