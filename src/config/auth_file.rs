//! PgBouncer's `userlist.txt`: `"user" "secret"`, one a line.
//!
//! As PgBouncer reads it: a double quote inside is doubled, lines that begin with `;` are comments, whatever follows
//! the secret on its line is ignored, and of two entries for one user the last counts. Stricter in one point: the
//! two texts stand on one line with nothing but blanks between them.

use std::{collections::BTreeMap, path::Path};

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    error::{Finding, Place},
    secret::Secret,
    secret_file::{Guarded, Readers, read_guarded},
    value::article,
};

/// PgBouncer's own limits, in bytes: the lengths must be below them.
const USER_MAX: usize = 128;
const SECRET_MAX: usize = 2048;
const FILE_MAX: u64 = 32 << 20;
const ENTRIES_MAX: usize = 200_000;
const FINDINGS_MAX: usize = 50;

/// The users of an `auth_file`, each with a secret: a SCRAM verifier, `md5…` or a plain password. An empty secret
/// means a user who is known but cannot prove it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthFile {
    users: BTreeMap<String, Secret>,
}

/// What kind of secret a user has, from its form alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SecretKind {
    /// `SCRAM-SHA-256$…`.
    Scram,
    /// `md5` and 32 hexadecimal digits.
    Md5,
    /// A password as it is typed.
    Plain,
    /// Nothing: this user cannot log in with a password.
    Empty,
}

impl SecretKind {
    /// What a secret is, as PgBouncer and PostgreSQL tell them apart (`get_password_type`).
    pub fn of(secret: &Secret) -> Self {
        let text = secret.expose();
        let hex = |digits: &str| {
            digits.len() == 32 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        match text {
            "" => Self::Empty,
            text if is_verifier(text) => Self::Scram,
            text if text.strip_prefix("md5").is_some_and(hex) => Self::Md5,
            _ => Self::Plain,
        }
    }
}

/// `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`, as `pg_authid.rolpassword` has it.
fn is_verifier(text: &str) -> bool {
    let parts = || {
        let (iterations, rest) = text.strip_prefix("SCRAM-SHA-256$")?.split_once(':')?;
        let (salt, keys) = rest.split_once('$')?;
        let (stored, server) = keys.split_once(':')?;
        let key = |text: &str| STANDARD.decode(text).is_ok_and(|key| key.len() == 32);
        let rounds = iterations.parse::<u32>().is_ok_and(|n| n > 0);
        Some(rounds && STANDARD.decode(salt).is_ok() && key(stored) && key(server))
    };
    parts().unwrap_or(false)
}

/// A copy that lost something on its way counts as a plain password, which is hardly meant.
fn damaged(secret: &Secret) -> Option<&'static str> {
    let text = secret.expose();
    if SecretKind::of(secret) != SecretKind::Plain {
        None
    } else if text.starts_with("SCRAM-SHA-256$") {
        Some("SCRAM verifier")
    } else {
        (text.starts_with("md5") && text.len() == 35).then_some("md5 hash")
    }
}

impl AuthFile {
    /// Reads the file. The findings are warnings, or errors, after which the users must not be used.
    pub(super) fn load(path: &Path, findings: &mut Vec<Finding>) -> Self {
        let name = path.display().to_string();
        let place = |line| Place::File { name: name.clone(), line };
        match read_guarded(path, FILE_MAX) {
            Ok(Guarded { bytes, readers }) => {
                if readers == Readers::Everybody {
                    let finding = Finding::warning(place(None), "everybody may read this file of secrets");
                    findings.push(finding.help(format!("chmod o-r {name}")));
                }
                let (parsed, mut told) = Self::parse(&bytes, &place);
                findings.append(&mut told);
                parsed
            }
            Err(why) => {
                let finding = Finding::error(place(None), format!("cannot read the auth_file: {why}"));
                findings.push(
                    finding.help("`auth_file` in [auth] names it, seen from the configuration file's folder"),
                );
                Self::default()
            }
        }
    }

    fn parse(bytes: &[u8], place: &dyn Fn(Option<usize>) -> Place) -> (Self, Vec<Finding>) {
        let mut users = BTreeMap::new();
        let mut findings = Vec::new();
        for (number, line) in bytes.split(|b| *b == b'\n').enumerate().map(|(i, line)| (i + 1, line)) {
            match entry(line) {
                Ok(None) => {}
                Ok(Some((user, secret))) => {
                    if let Some(kind) = damaged(&secret) {
                        let what =
                            format!("the secret of {user:?} begins like {} but is none", article(kind));
                        let finding = Finding::warning(place(Some(number)), what);
                        findings.push(finding.help("it counts as a plain password; copy it again"));
                    }
                    if users.insert(user.clone(), secret).is_some() {
                        let what = format!("the user {user:?} is listed twice: the last entry counts");
                        findings.push(Finding::warning(place(Some(number)), what));
                    }
                }
                Err(what) => findings.push(Finding::error(place(Some(number)), what).help(FORMAT)),
            }
            if findings.len() >= FINDINGS_MAX {
                findings.push(Finding::error(
                    place(Some(number)),
                    "so much is wrong here that the rest is not read",
                ));
                break;
            }
            if users.len() > ENTRIES_MAX {
                findings.push(Finding::error(place(Some(number)), format!("more than {ENTRIES_MAX} users")));
                break;
            }
        }
        (Self { users }, findings)
    }

    /// A user's secret.
    pub fn get(&self, user: &str) -> Option<&Secret> {
        self.users.get(user)
    }

    /// Every user with their secret, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Secret)> {
        self.users.iter().map(|(user, secret)| (&**user, secret))
    }

    /// How many users there are.
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }
}

const FORMAT: &str = "each line is \"user\" \"secret\", with a quote inside doubled; ; begins a comment";

/// One line: nothing, or a user and a secret. The error never shows what stands there.
fn entry(line: &[u8]) -> Result<Option<(String, Secret)>, String> {
    let line = line.trim_ascii();
    match line.first() {
        None | Some(b';') => return Ok(None),
        Some(b'#') => return Err("a comment begins with ; in this file".to_owned()),
        Some(_) => {}
    }
    let (user, rest) = quoted(line, "user", USER_MAX)?;
    let (secret, _) = quoted(rest.trim_ascii_start(), "secret", SECRET_MAX)?;
    if user.is_empty() {
        return Err("the user is empty".to_owned());
    }
    Ok(Some((user, Secret::new(&secret))))
}

/// A text in double quotes at the start of `from`, and what follows it.
fn quoted<'b>(from: &'b [u8], what: &str, max: usize) -> Result<(String, &'b [u8]), String> {
    let body = from.strip_prefix(b"\"").ok_or_else(|| format!("the {what} is not in double quotes"))?;
    let mut text = Vec::new();
    let mut at = 0;
    loop {
        match (body.get(at), body.get(at + 1)) {
            (Some(b'"'), Some(b'"')) => {
                text.push(b'"');
                at += 2;
            }
            (Some(b'"'), _) => break,
            (Some(byte), _) => {
                text.push(*byte);
                at += 1;
            }
            (None, _) => return Err(format!("the {what} has no closing quote")),
        }
        if text.len() >= max {
            return Err(format!("the {what} is longer than {} bytes", max - 1));
        }
    }
    if text.contains(&0) {
        return Err(format!("the {what} contains a zero byte"));
    }
    let text = String::from_utf8(text).map_err(|_| format!("the {what} is not UTF-8"))?;
    Ok((text, body.get(at + 1..).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &[u8]) -> (Vec<(String, String)>, Vec<String>) {
        let (users, findings) = AuthFile::parse(text, &|line| Place::File { name: "u.txt".to_owned(), line });
        let users = users.iter().map(|(u, s)| (u.to_owned(), s.expose().to_owned())).collect();
        (users, findings.iter().map(|f| f.to_string().split(';').next().unwrap().to_owned()).collect())
    }

    #[test]
    fn entries() {
        let long = format!("\"{}\" \"b\"", "a".repeat(128));
        for (text, users, told) in [
            ("", &[][..], &[][..]),
            ("\"a\" \"b\"\n", &[("a", "b")], &[]),
            ("  \"a\"\t\"b\" and so on\r\n\n; \"x\" \"y\"\n\"c\" \"d\"", &[("a", "b"), ("c", "d")], &[]),
            ("\"a\"\"b\" \"c\"\"\"", &[("a\"b", "c\"")], &[]),
            ("\"a\" \"\"", &[("a", "")], &[]),
            ("\"ä b\" \"ö\"", &[("ä b", "ö")], &[]),
            (
                "\"a\" \"1\"\n\"a\" \"2\"",
                &[("a", "2")],
                &["u.txt:2: the user \"a\" is listed twice: the last entry counts"],
            ),
            (
                "\"a\" \"SCRAM-SHA-256$4096:c2FsdA==$x:y\"",
                &[("a", "SCRAM-SHA-256$4096:c2FsdA==$x:y")],
                &["u.txt:1: the secret of \"a\" begins like a SCRAM verifier but is none"],
            ),
            ("# x", &[], &["u.txt:1: a comment begins with "]),
            ("a b", &[], &["u.txt:1: the user is not in double quotes"]),
            ("\n\"a\" b\n\"c\" \"d\"", &[("c", "d")], &["u.txt:2: the secret is not in double quotes"]),
            ("\"a\"", &[], &["u.txt:1: the secret is not in double quotes"]),
            ("\"a", &[], &["u.txt:1: the user has no closing quote"]),
            ("\"a\" \"hunter2", &[], &["u.txt:1: the secret has no closing quote"]),
            ("\"\" \"b\"", &[], &["u.txt:1: the user is empty"]),
            (&long, &[], &["u.txt:1: the user is longer than 127 bytes"]),
        ] {
            let (found, findings) = parse(text.as_bytes());
            let found: Vec<_> = found.iter().map(|(u, s)| (&**u, &**s)).collect();
            assert_eq!(
                (&*found, &*findings),
                (users, &*told.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>()),
                "{text}"
            );
        }
    }

    #[test]
    fn kinds() {
        let md5 = format!("md5{}", "0".repeat(32));
        let key = format!("{}=", "A".repeat(43));
        let verifier = format!("SCRAM-SHA-256$4096:c2FsdA==${key}:{key}");
        for (text, kind) in [
            (&*verifier, SecretKind::Scram),
            (&verifier[..verifier.len() - 1], SecretKind::Plain),
            (&*verifier.replace("4096", "0"), SecretKind::Plain),
            (&*md5, SecretKind::Md5),
            (&*md5.replace('0', "F"), SecretKind::Plain),
            ("md5", SecretKind::Plain),
            ("hunter2", SecretKind::Plain),
            ("", SecretKind::Empty),
        ] {
            assert_eq!(SecretKind::of(&Secret::new(text)), kind, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            parse(&bytes);
        }

        #[test]
        fn what_is_written_is_read(user in "[^\n\r\0]{1,30}", secret in "[^\n\r\0]{0,30}") {
            let line = format!("\"{}\" \"{}\"", user.replace('"', "\"\""), secret.replace('"', "\"\""));
            let expected = (vec![(user, secret)], vec![]);
            proptest::prop_assert_eq!(parse(line.as_bytes()), expected);
        }
    }
}
