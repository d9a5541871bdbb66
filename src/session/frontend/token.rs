//! What a client can ask pgsteer by a setting (`SHOW pgsteer.token`): the server is given it as that setting first, so that
//! it answers itself, by whatever protocol and driver the client asks.

use super::Passage;

/// A setting by which a client asks pgsteer something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// `pgsteer.token`: where the client stands in the cluster's history.
    Token,
    /// `pgsteer.last_commit`: what became of its last transaction.
    LastCommit,
    /// `pgsteer.session`: by what it can ask for that on another connection.
    Session,
}

impl Told {
    /// The setting's name.
    pub const fn setting(self) -> &'static str {
        match self {
            Self::Token => "pgsteer.token",
            Self::LastCommit => "pgsteer.last_commit",
            Self::Session => "pgsteer.session",
        }
    }
}

const ROOM: &[u8] = b"pgsteer";
const NAMES: [(&[u8], Told); 3] =
    [(b"token", Told::Token), (b"last_commit", Told::LastCommit), (b"session", Told::Session)];

impl Passage<'_, '_> {
    /// Gives the server what the client is about to ask it for.
    #[inline]
    pub(super) fn provide_told(&mut self, text: &[u8]) {
        if self.terms.told.is_some() {
            self.tell_what_is_mentioned(text);
        }
    }

    #[cold]
    fn tell_what_is_mentioned(&mut self, text: &[u8]) {
        let Some(sql) = self.terms.told else { return };
        for sql in mentioned(text).into_iter().flatten().filter_map(sql) {
            self.run_aside(sql.as_bytes(), None);
        }
    }
}

/// Which of the settings a text names.
#[cold]
pub(super) fn mentioned(text: &[u8]) -> [Option<Told>; NAMES.len()] {
    let mut found = [None; NAMES.len()];
    for dot in memchr::memchr_iter(b'.', text) {
        let (before, after) = (&text[..dot], &text[dot + 1..]);
        let room = before.get(before.len().saturating_sub(ROOM.len())..).unwrap_or_default();
        if !room.eq_ignore_ascii_case(ROOM) {
            continue;
        }
        let length = after.iter().position(|byte| !is_of_name(*byte)).unwrap_or(after.len());
        let place = NAMES.iter().position(|(name, _)| after[..length].eq_ignore_ascii_case(name));
        if let Some(place) = place {
            found[place] = Some(NAMES[place].1);
        }
    }
    found
}

const fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || !byte.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_for_what() {
        let (token, last, session) = (&[Told::Token][..], &[Told::LastCommit][..], &[Told::Session][..]);
        let none = &[][..];
        for (text, expected) in [
            ("show pgsteer.token", token),
            ("SHOW PgSteer.TOKEN;", token),
            ("select current_setting('pgsteer.token')", token),
            ("select a.b, pgsteer.route, pgsteer.token", token),
            ("pgsteer.token", token),
            ("pgsteer.token, pgsteer.session, pgsteer.token", &[Told::Token, Told::Session]),
            ("show pgsteer.last_commit", last),
            ("show pgsteer.session", session),
            ("set pgsteer.last_commit_of = 'x'", none),
            ("show pgsteer.tok", none),
            ("show pgsteer.tokens", none),
            ("show steer.token", none),
            (".token", none),
            ("", none),
        ] {
            let found: Vec<_> = mentioned(text.as_bytes()).into_iter().flatten().collect();
            assert_eq!(found, expected, "{text}");
        }
    }
}
