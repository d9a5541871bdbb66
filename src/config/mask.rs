//! Hides secrets in a configuration file's text before any of it is shown in an error.
//!
//! It works on the bare text, because a file with a syntax error has no structure to go by, and it errs on the
//! side of hiding: whatever follows a key that looks like a secret, spelt rightly or not.

/// Parts of words that betray a secret, misspelt ones among them (`pasword`, `psswd`, `pw_secret`).
const BETRAYING: [&str; 5] = ["pas", "word", "pwd", "psswd", "secret"];

/// The text with its secrets replaced by `*` and spaces. Every byte keeps its place, so that positions stay true;
/// how long a secret is cannot be seen.
pub(super) fn mask(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut inside: Option<&str> = None;
    for line in text.split_inclusive('\n') {
        let from = if let Some(delimiter) = inside {
            if line.contains(delimiter) {
                inside = None;
            }
            Some(0)
        } else {
            let from = secret_value(line);
            inside = from.and_then(|from| left_open(line.get(from..).unwrap_or_default()));
            from
        };
        match from {
            Some(from) => {
                masked.push_str(line.get(..from).unwrap_or_default());
                blot(line.get(from..).unwrap_or_default(), &mut masked);
            }
            None => url_credentials(line, &mut masked),
        }
    }
    masked
}

/// Where the value of the first secret key of this line begins.
fn secret_value(line: &str) -> Option<usize> {
    for (at, _) in line.match_indices('=') {
        let key = line.get(..at)?.trim_end().trim_end_matches(['"', '\'']);
        let start = key.rfind(|c: char| !c.is_alphanumeric() && c != '_' && c != '-').map_or(0, |i| i + 1);
        let key = key.get(start..).unwrap_or(key).to_lowercase();
        if !key.ends_with("_file") && BETRAYING.iter().any(|part| key.contains(part)) {
            return Some(at + 1);
        }
    }
    None
}

/// The delimiter of a multi-line string that begins in `value` and does not end there.
fn left_open(value: &str) -> Option<&'static str> {
    let value = value.trim_start();
    ["\"\"\"", "'''"].into_iter().find(|d| value.strip_prefix(d).is_some_and(|rest| !rest.contains(d)))
}

/// A few stars, then spaces up to the same number of bytes; line ends stay.
fn blot(value: &str, out: &mut String) {
    let end = value.trim_end_matches(['\r', '\n']);
    let lead = end.len() - end.trim_start().len();
    for i in 0..end.len() {
        out.push(if (lead..lead + 3).contains(&i) { '*' } else { ' ' });
    }
    out.push_str(value.get(end.len()..).unwrap_or_default());
}

/// Hides what stands between `://` and `@`.
fn url_credentials(line: &str, out: &mut String) {
    let mut rest = line;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        let end = after.find(['/', '"', '\'', ',', ' ', '\n']).unwrap_or(after.len());
        rest = match after.get(..end).and_then(|authority| authority.rfind('@')) {
            Some(at) => {
                blot(after.get(..at).unwrap_or_default(), out);
                after.get(at..).unwrap_or_default()
            }
            None => after,
        };
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hides_what_looks_like_a_secret_and_keeps_every_byte_in_its_place() {
        for (text, shown) in [
            ("probe_password = \"x\"\nstore = \"none\"", "probe_password = ***\nstore = \"none\""),
            ("probe_pasword = 'hunter2' # why", "probe_pasword = ***"),
            ("\"pass word\" = 'hunter2'", "\"pass word\" = ***"),
            ("a = { user = \"u\", password = \"hunter2\" }", "a = { user = \"u\", password = ***"),
            ("password_file = \"/run/secret\"", "password_file = \"/run/secret\""),
            ("password = \"\"\"\nhunter2\n\"\"\"\nscope = 'a'", "password = ***\n***\n***\nscope = 'a'"),
            ("password='héé\nb = 1", "password=***\nb = 1"),
            (
                "endpoints = [\"http://u:p@a:1\", 'https://b:2']",
                "endpoints = [\"http://***@a:1\", 'https://b:2']",
            ),
            ("password", "password"),
        ] {
            let masked = mask(text);
            assert_eq!(masked.len(), text.len(), "{text}");
            let trimmed = masked.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
            assert_eq!(trimmed, shown, "{text}");
            assert!(!masked.contains("hunter2"), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_keeps_its_length(text in ".*(password ?= ?)?.*\n.*://.*@.*") {
            proptest::prop_assert_eq!(mask(&text).len(), text.len());
        }
    }
}
