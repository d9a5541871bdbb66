//! What a client asks for at its start, sorted out.

use crate::{
    client::LoggedIn,
    wire::{
        error::{PgError, SqlState},
        options,
        parameters::{TRACKED, tracked},
    },
};

/// What a client asks for at its start, sorted out.
pub(in crate::proxy) struct StartupSettings {
    /// Settings that follow the client, as it wrote them.
    pub(super) tracked: Vec<(String, String)>,
    /// Its name for itself.
    pub(super) name: ApplicationName,
    /// Settings with which its servers must be opened.
    pub(super) others: Vec<(String, String)>,
}

impl StartupSettings {
    /// Sorts out what a client asks for.
    pub(in crate::proxy) fn of(login: &LoggedIn) -> Result<Self, PgError> {
        let mut settings = Self { tracked: Vec::new(), name: ApplicationName::default(), others: Vec::new() };
        // First, as PostgreSQL has it: a parameter of its own counts more.
        if let Some(options) = login.startup.get("options") {
            settings.add_options(text(options)?);
        }
        for (name, value) in login.startup.parameters() {
            let name = text(name)?;
            if name.eq_ignore_ascii_case("application_name") {
                // In whatever encoding it is written: of what is not ASCII no server keeps more than the bytes.
                settings.name = ApplicationName::of(value);
                continue;
            }
            let value = text(value)?;
            match name.as_str() {
                "user" | "database" | "replication" | "options" => {}
                _ => settings.add(name, value),
            }
        }
        settings.others.sort();
        settings.tracked.sort();
        Ok(settings)
    }

    /// What is more than settings goes to the server as it is, which understands or refuses it.
    fn add_options(&mut self, text: String) {
        match options::settings(&text) {
            Some(settings) => settings.into_iter().for_each(|(name, value)| self.add(name, value)),
            None => self.others.push(("options".to_owned(), text)),
        }
    }

    fn add(&mut self, name: String, value: String) {
        if name.eq_ignore_ascii_case("application_name") {
            self.name = ApplicationName::of(value.as_bytes());
        } else if let Some(place) = tracked(&name)
            && TRACKED[place] != "search_path"
        {
            self.tracked.retain(|(known, _)| known != TRACKED[place]);
            self.tracked.push((TRACKED[place].to_owned(), value));
        } else {
            self.others.retain(|(known, _)| !known.eq_ignore_ascii_case(&name));
            self.others.push((name, value));
        }
    }
}

fn text(bytes: &[u8]) -> Result<String, PgError> {
    String::from_utf8(bytes.to_vec()).map_err(|_| {
        PgError::fatal(SqlState::CHARACTER_NOT_IN_REPERTOIRE, "a start-up parameter is not valid UTF-8")
    })
}

/// A client's name for itself, as it wrote it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct ApplicationName(Box<[u8]>);

impl ApplicationName {
    /// The bytes that PostgreSQL keeps of a name.
    const BYTES_MAX: usize = 63;

    fn of(name: &[u8]) -> Self {
        Self(name[..name.len().min(Self::BYTES_MAX)].into())
    }

    /// As a server of this version has it, which keeps printable ASCII alone: other bytes are written out from PostgreSQL 16
    /// on (`pg_clean_ascii`), question marks before. Not longer than what `SET` would keep.
    pub(super) fn as_kept_by(&self, server_version: &str) -> String {
        let digits = server_version.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
        let writes_out = digits.parse().is_ok_and(|major: u32| major >= 16);
        let mut kept = String::new();
        for byte in self.0.iter().copied() {
            let room = Self::BYTES_MAX - kept.len();
            match byte {
                32..127 if room >= 1 => kept.push(char::from(byte)),
                128.. | ..32 | 127 if writes_out && room >= 4 => kept.push_str(&format!("\\x{byte:02x}")),
                128.. | ..32 | 127 if !writes_out && room >= 1 => kept.push('?'),
                _ => break,
            }
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kept_as_the_server_does() {
        let check = |name: &[u8], version, expected: &str| {
            assert_eq!(ApplicationName::of(name).as_kept_by(version), expected, "{version}");
        };
        let name = "\u{fc}n\u{ef} 1\t".as_bytes();
        check(name, "15.13 (Debian 15.13-0+deb12u1)", "??n?? 1?");
        check(name, "16beta1", r"\xc3\xbcn\xc3\xaf 1\x09");
        check(name, "18.1", r"\xc3\xbcn\xc3\xaf 1\x09");
        check(name, "", "??n?? 1?");
        check(b"psql", "18.1", "psql");
        check(&[b'a'; 100], "18.1", &"a".repeat(63));
        check(&[0xe9; 63], "15.1", &"?".repeat(63));
        // What SET keeps on the next server is what there was on the one before.
        check(&[0xe9; 63], "17.1", &r"\xe9".repeat(15));
    }
}
