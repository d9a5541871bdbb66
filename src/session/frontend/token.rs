//! The token of a client that asks for it: the server is given it as a setting first, so that it answers itself, by whatever
//! protocol and driver the client asks.

use super::Passage;

/// The setting's name.
const NAME: (&[u8], &[u8]) = (b"pgsteer", b"token");

impl Passage<'_, '_> {
    /// Gives the server the client's token, if it is about to be asked for it.
    #[inline]
    pub(super) fn provide_token(&mut self, text: &[u8]) {
        if let Some(sql) = self.terms.token
            && mentions(text)
            && let Some(sql) = sql()
        {
            self.run_aside(sql.as_bytes(), None);
        }
    }
}

/// Whether a text names the setting.
#[cold]
fn mentions(text: &[u8]) -> bool {
    memchr::memchr_iter(b'.', text).any(|dot| {
        let (before, after) = (&text[..dot], &text[dot + 1..]);
        let before = before.get(before.len().saturating_sub(NAME.0.len())..).unwrap_or_default();
        let after = after.get(..NAME.1.len()).unwrap_or_default();
        before.eq_ignore_ascii_case(NAME.0) && after.eq_ignore_ascii_case(NAME.1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_for_it() {
        for (text, expected) in [
            ("show pgsteer.token", true),
            ("SHOW PgSteer.TOKEN;", true),
            ("select current_setting('pgsteer.token')", true),
            ("select a.b, pgsteer.route, pgsteer.token", true),
            ("pgsteer.token", true),
            ("show pgsteer.tok", false),
            ("show steer.token", false),
            (".token", false),
            ("", false),
        ] {
            assert_eq!(mentions(text.as_bytes()), expected, "{text}");
        }
    }
}
