//! The start-up parameter `options`: words as on the server's command line.
//!
//! PostgreSQL documentation, "Passing Options" (libpq) and "Message Flow: Start-up"; split as `pg_split_opts` splits.

/// The settings in `options`, where it holds nothing else: `-c name=value`, `-cname=value` and `--name=value`, each a
/// name and a value. `None`: there is more, or it is written differently, which the server understands or refuses.
pub fn settings(text: &str) -> Option<Vec<(String, String)>> {
    let mut settings = Vec::new();
    let mut words = words(text).into_iter();
    while let Some(word) = words.next() {
        let setting = match word.strip_prefix("-c") {
            Some("") => words.next()?,
            Some(setting) => setting.to_owned(),
            None => word.strip_prefix("--")?.to_owned(),
        };
        let (name, value) = setting.split_once('=').filter(|(name, _)| !name.is_empty())?;
        settings.push((name.replace('-', "_"), value.to_owned()));
    }
    Some(settings)
}

/// Words between white space; a backslash takes the next character as it is.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => word.get_or_insert_default().extend(chars.next()),
            // As C's isspace has it.
            ' ' | '\t' | '\n' | '\x0b' | '\x0c' | '\r' => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_alone() {
        for (text, expected) in [
            ("", vec![]),
            ("-c a=b", vec![("a", "b")]),
            ("-ca=b --c-d=e", vec![("a", "b"), ("c_d", "e")]),
            (r"-c search_path=a\ b\\", vec![("search_path", r"a b\")]),
            ("  -c \t a=\x0b ", vec![("a", "")]),
            ("-c a=b=c", vec![("a", "b=c")]),
            (r"-c\ a=b", vec![(" a", "b")]),
            (r"-c a=b\", vec![("a", "b")]),
            ("--c=d", vec![("c", "d")]),
            ("-c --a=b", vec![("__a", "b")]),
            ("-c geqo=off -c a.b=1", vec![("geqo", "off"), ("a.b", "1")]),
        ] {
            let expected: Vec<_> =
                expected.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            assert_eq!(settings(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_the_server_must_judge() {
        for text in ["-c a", "-c", "-d 5", "a=b", "--", "--a", "-c a=b -e", "-c =b", "-f h", r"\", "x"] {
            assert_eq!(settings(text), None, "{text}");
        }
    }
}
