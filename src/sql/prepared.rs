//! What `PREPARE` prepares.

use super::lexer::Lexer;

/// What stands behind `PREPARE name [(types)] AS`, to the end of the text.
pub fn body(text: &[u8]) -> Option<&[u8]> {
    // No string stands before AS, and AS names nothing unless it is quoted.
    let mut tokens = Lexer::new(text, true);
    tokens.next().filter(|first| first.is_word("prepare"))?;
    tokens.find(|token| token.is_word("as"))?;
    text.get(text.len() - tokens.remaining()..)
}

#[cfg(test)]
mod tests {
    use super::body;

    #[test]
    fn what_is_prepared() {
        for (text, prepared) in [
            ("prepare p as select 1", Some(" select 1")),
            ("/* a */ PREPARE \"as\" (int, numeric(3, 1)) AS\nTABLE t; -- b", Some("\nTABLE t; -- b")),
            ("prepare p(text[])as/**/select 'as'", Some("/**/select 'as'")),
            ("prepare transaction 'a'", None),
            ("select 1 as a", None),
            ("prepare", None),
        ] {
            let found = body(text.as_bytes()).map(|body| std::str::from_utf8(body).unwrap());
            assert_eq!(found, prepared, "{text}");
        }
    }
}
