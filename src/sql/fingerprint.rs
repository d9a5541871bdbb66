//! A number for a statement that tells it from others without telling its text.

use super::lexer::{Lexer, Token};

/// A number for all texts that differ in nothing but blanks, comments, the case of words and the values of literals. It is
/// the same in every process and release, so that what a log names can be found in the programs that send it.
///
/// (FNV-1a, 64 bits, over the tokens.)
pub fn fingerprint(text: &[u8], standard_conforming_strings: bool) -> u64 {
    let mut print = Print(0xCBF2_9CE4_8422_2325);
    for token in Lexer::new(text, standard_conforming_strings) {
        match token {
            Token::Word(word) => print.add(b'w', word.iter().map(u8::to_ascii_lowercase)),
            Token::Quoted(name) if name == name.to_ascii_lowercase() => print.add(b'w', name.iter().copied()),
            Token::Quoted(name) | Token::Encoded(name) => print.add(b'q', name.iter().copied()),
            Token::Literal(_) | Token::Number | Token::Parameter => print.add(b'?', std::iter::empty()),
            Token::Symbol(b';') => {}
            Token::Symbol(symbol) => print.add(b's', std::iter::once(symbol)),
            Token::Invalid => print.add(b'!', std::iter::empty()),
        }
    }
    print.0
}

struct Print(u64);

impl Print {
    fn add(&mut self, kind: u8, bytes: impl Iterator<Item = u8>) {
        for byte in std::iter::once(kind).chain(bytes).chain(std::iter::once(0)) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_blanks_do_not_count() {
        let of = |text: &str| fingerprint(text.as_bytes(), true);
        let one = of("select pg_advisory_lock(42)");
        // Written down, because logs of other releases are to be read, too.
        assert_eq!(format!("{one:016x}"), "2d4368c7db7aa484");
        for alike in [
            "SELECT\n pg_advisory_lock ( 7 );",
            "select /* a */ \"pg_advisory_lock\"('x') -- b",
            "select pg_advisory_lock($1)",
        ] {
            assert_eq!(of(alike), one, "{alike}");
        }
        for other in ["select pg_advisory_lock(1, 2)", "select \"Pg_advisory_lock\"(1)", "select"] {
            assert_ne!(of(other), one, "{other}");
        }
    }
}
