//! How texts are cut into tokens.

use super::*;

/// One word for each token, its text behind a colon.
fn tokens(text: &[u8], standard_conforming_strings: bool) -> String {
    found_quickly(text, standard_conforming_strings);
    let show = |kind: &str, text: &[u8]| format!("{kind}:{}", String::from_utf8_lossy(text));
    let shown = Lexer::new(text, standard_conforming_strings).map(|token| match token {
        Token::Word(text) => show("w", text),
        Token::Quoted(text) => show("q", text),
        Token::Encoded(text) => show("u", text),
        Token::Literal(Literal::Plain(text)) => show("s", text),
        Token::Literal(Literal::Dollar(text)) => show("d", text),
        Token::Literal(Literal::Bits) => "bits".to_owned(),
        Token::Literal(Literal::Encoded) => "encoded".to_owned(),
        Token::Number => "n".to_owned(),
        Token::Parameter => "p".to_owned(),
        Token::Symbol(symbol) => char::from(symbol).to_string(),
        Token::Invalid => "!".to_owned(),
    });
    shown.collect::<Vec<_>>().join(" ")
}

/// The quick way finds the same tokens.
fn found_quickly(text: &[u8], standard_conforming_strings: bool) {
    let mut tokens = Lexer::new(text, standard_conforming_strings);
    let mut quick = tokens.clone();
    loop {
        let token = tokens.next();
        match (quick.quick(), token) {
            (Next::Word(word), Some(Token::Word(expected))) => assert_eq!(word, expected),
            (Next::Plain, Some(Token::Number | Token::Symbol(_))) if token != Some(Token::Symbol(b';')) => {}
            (Next::End, Some(Token::Symbol(b';'))) => {}
            (Next::Other, expected) => assert_eq!(quick.other(), expected),
            (Next::End, None) => {}
            (_, expected) => panic!("not {expected:?} in {}", text.escape_ascii()),
        }
        assert_eq!(quick.remaining(), tokens.remaining(), "{}", text.escape_ascii());
        if token.is_none() {
            return;
        }
    }
}

#[test]
fn reads_as_postgresql_does() {
    let cases = [
        ("", ""),
        (" \t\r\n\x0b\x0c", ""),
        ("select 1", "w:select n"),
        ("SELECT a.b FROM \"T\"\"x\"", "w:SELECT w:a . w:b w:FROM q:T\"\"x"),
        ("a$1 $1 $12a", "w:a$1 p p w:a"),
        ("\u{e9}t\u{e9}_1$", "w:\u{e9}t\u{e9}_1$"),
        ("x::int", "w:x : : w:int"),
        // Numbers.
        ("1 1.5 .5 1. 1e5 1E-5 1.e+5", "n n n n n n n"),
        ("a.1.e5e'\\' 1.2.3 .e1 ..1 ...1.5", "w:a n . w:e5e s:\\ n n . w:e1 . n . n n"),
        ("1..10 1e 1e+ 12ab", "n . n n w:e n w:e + n w:ab"),
        ("0xFF 1_000", "n w:xFF n w:_000"),
        ("1e5e'\\''", "n encoded"),
        // Comments.
        ("a--b\nc", "w:a w:c"),
        ("a--b\rc --", "w:a w:c"),
        ("a/*b*/c", "w:a w:c"),
        ("a/*b/*c*/d*/e", "w:a w:e"),
        ("a/*/*/ b */ c */ d", "w:a w:d"),
        ("/**/a/***/b/*/ */c", "w:a w:b w:c"),
        ("a/*b/*c*/d", "w:a !"),
        ("/*", "!"),
        ("/* '*/a' */", "w:a !"),
        ("a+/*x*/b", "w:a + w:b"),
        ("a<--b\n1", "w:a < n"),
        ("a*/b", "w:a * / w:b"),
        ("@-1 - -2", "@ - n - - n"),
        // Strings.
        ("''", "s:"),
        ("'a''b'c", "s:a''b w:c"),
        ("'a\\'b", "s:a\\ w:b"),
        ("'a", "!"),
        ("'a''", "!"),
        ("N'a' n 'b'", "w:N s:a w:n s:b"),
        ("fe'a'", "w:fe s:a"),
        ("E'a' e'a\\'b' E'\\\\'", "s:a encoded encoded"),
        ("E'a\\", "!"),
        ("E'a\\'", "!"),
        ("b'01' X'1F' B'", "bits bits !"),
        ("u&'a' U&\"x\"\"\" u & 'a' u&x", "encoded u:x\"\" w:u & s:a w:u & w:x"),
        ("U&\"x", "!"),
        ("\"a", "!"),
        ("\"a;'b\" ;", "q:a;'b ;"),
        // A string goes on after a line end.
        ("'a'\n'b'", "encoded"),
        ("'a' -- c\n 'b' x", "encoded w:x"),
        ("'a' \r\n --c\n--d\n\x0b'b'", "encoded"),
        ("'a' 'b'", "s:a s:b"),
        ("'a' --b'\n", "s:a"),
        ("'a' --'b'", "s:a"),
        ("'a' /*\n*/ 'b'", "s:a s:b"),
        ("'a'\n- 'b'", "s:a - s:b"),
        ("E'a'\n'\\';b'", "encoded"),
        ("'a'\n E'b'", "s:a s:b"),
        ("b'0'\n'1'", "bits"),
        ("x'1''a'", "bits s:a"),
        ("'a'\n'", "!"),
        // Dollar quotes.
        ("$$a'b$$", "d:a'b"),
        ("$a$ $$ $b$ $a$", "d: $$ $b$ "),
        ("$a$x$b$a$", "d:x$b"),
        ("$\u{e9}1$x$\u{e9}1$", "d:x"),
        ("$A$x$a$", "!"),
        ("$a x", "! w:a w:x"),
        ("$ $", "! !"),
        ("$1$$x$$", "p d:x"),
        ("1$$x$$", "n d:x"),
        ("a$$x", "w:a$$x"),
        ("$$", "!"),
        // What cannot be in SQL.
        ("a \\ b { \0", "w:a ! w:b ! !"),
    ];
    for (text, expected) in cases {
        assert_eq!(tokens(text.as_bytes(), true), expected, "{text:?}");
    }
}

#[test]
fn backslashes_escape_without_standard_conforming_strings() {
    let cases = [
        ("'a\\'b'", "encoded"),
        ("'a\\'b", "!"),
        ("'a'", "s:a"),
        ("N'\\''", "w:N encoded"),
        ("'a'\n'\\''", "encoded"),
        ("b'0\\' x'\\'", "bits bits"),
        ("x'1''a\\'", "bits !"),
        ("$$\\$$ \"\\\"", "d:\\ q:\\"),
        ("U&'a' U&\"a\"", "encoded u:a"),
    ];
    for (text, expected) in cases {
        assert_eq!(tokens(text.as_bytes(), false), expected, "{text:?}");
    }
}
