//! One CSV record, as Go's encoding/csv reads it: fields between commas, quoted ones with doubled quotes inside.

/// The fields of the first record. Blank lines before it are skipped, what follows it is not read.
pub(super) fn record(text: &str) -> Result<Vec<String>, &'static str> {
    let text = text.trim_start_matches(['\r', '\n']);
    if text.is_empty() {
        return Err("EOF");
    }
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let (field, behind) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted)?,
            None => plain_field(rest)?,
        };
        fields.push(field);
        match behind.strip_prefix(',') {
            Some(behind) => rest = behind,
            None => return Ok(fields),
        }
    }
}

/// A field without quotes, and what is behind it: a comma, a line end or nothing.
fn plain_field(text: &str) -> Result<(String, &str), &'static str> {
    let (field, behind) = text.split_at(text.find([',', '\n']).unwrap_or(text.len()));
    if field.contains('"') {
        return Err("bare \" in non-quoted-field");
    }
    let field = if behind.starts_with(',') { field } else { field.trim_end_matches('\r') };
    Ok((field.to_owned(), behind))
}

/// A field whose opening quote is gone already.
fn quoted_field(text: &str) -> Result<(String, &str), &'static str> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let Some(at) = rest.find('"') else { return Err("extraneous or missing \" in quoted-field") };
        field.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(behind) = rest.strip_prefix('"') {
            field.push('"');
            rest = behind;
        } else if rest.is_empty() || rest.starts_with([',', '\n', '\r']) {
            return Ok((field, rest));
        } else {
            return Err("extraneous or missing \" in quoted-field");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records() {
        let cases: &[(&str, Result<&[&str], &str>)] = &[
            ("a", Ok(&["a"])),
            ("a=b,c", Ok(&["a=b", "c"])),
            ("a,,b,", Ok(&["a", "", "b", ""])),
            (" a, b ", Ok(&[" a", " b "])),
            ("\"a,b\",c", Ok(&["a,b", "c"])),
            ("\"a\"\"b\"", Ok(&["a\"b"])),
            ("\"\"", Ok(&[""])),
            ("a\nb", Ok(&["a"])),
            ("\r\na\r\nb", Ok(&["a"])),
            ("", Err("EOF")),
            ("a\"b", Err("bare \" in non-quoted-field")),
            ("a=\"b\"", Err("bare \" in non-quoted-field")),
            ("\"a", Err("extraneous or missing \" in quoted-field")),
            ("\"a\"b", Err("extraneous or missing \" in quoted-field")),
        ];
        for (text, expected) in cases {
            let found = record(text);
            let found = found.as_ref().map(|fields| fields.iter().map(String::as_str).collect::<Vec<_>>());
            assert_eq!(found.map_err(|e| *e), expected.map(<[&str]>::to_vec), "{text:?}");
        }
    }
}
