//! Ident maps (`pg_ident.conf`): which names of a system, certificate or token may be which users. As PostgreSQL 16
//! reads and applies them.

use std::{collections::BTreeMap, path::Path};

use regex::Regex;

use super::rules::{
    lines::{Files, Line, LineError, Word, read},
    members::{Fit, Members},
    names::{UserName, regex},
};

/// The maps of a `pg_ident.conf`.
#[derive(Clone, Debug, Default)]
pub struct IdentMaps(BTreeMap<Box<str>, Vec<Entry>>);

#[derive(Clone, Debug)]
struct Entry {
    system: SystemName,
    user: User,
}

#[derive(Clone, Debug)]
enum SystemName {
    Exactly(Box<str>),
    Like(Regex),
}

#[derive(Clone, Debug)]
enum User {
    Named(UserName),
    /// What the system name's expression has captured first stands for `\1`.
    Captured {
        before: Box<str>,
        after: Box<str>,
    },
}

/// What stands for the first captured part of a system name.
const CAPTURE: &str = "\\1";

impl IdentMaps {
    /// Reads a file with all that it includes.
    pub fn load(path: &Path, files: &dyn Files) -> Result<Self, Vec<LineError>> {
        let mut errors = Vec::new();
        let mut maps = Self::default();
        for line in read(path, files, &mut errors) {
            if let Err(what) = maps.add(&line) {
                errors.push(LineError { place: line.place, what });
            }
        }
        if errors.is_empty() { Ok(maps) } else { Err(errors) }
    }

    fn add(&mut self, line: &Line) -> Result<(), String> {
        let [map, system, user] = &*line.fields else {
            return Err(match line.fields.len() {
                0..3 => "missing entry at end of line: a map, a system name and a user are expected",
                _ => "too much on the line: a map, a system name and a user are expected",
            }
            .to_owned());
        };
        let ([map], [system], [user]) = (&**map, &**system, &**user) else {
            return Err("multiple values in ident field".to_owned());
        };
        let entry = Entry { system: SystemName::of(system)?, user: User::of(user, system)? };
        self.0.entry(map.text.as_str().into()).or_default().push(entry);
        Ok(())
    }

    /// Whether there is such a map.
    pub fn has(&self, map: &str) -> bool {
        self.0.contains_key(map)
    }

    /// Whether `system` may be `user`. Without a map they must be the same.
    pub fn allows(&self, map: Option<&str>, system: &str, user: &str) -> bool {
        let Some(map) = map else { return system == user };
        self.0.get(map).into_iter().flatten().any(|entry| entry.allows(system, user))
    }
}

impl SystemName {
    fn of(word: &Word) -> Result<Self, String> {
        match regex(word) {
            Some(regex) => regex.map(Self::Like),
            None => Ok(Self::Exactly(word.text.as_str().into())),
        }
    }
}

impl User {
    fn of(word: &Word, system: &Word) -> Result<Self, String> {
        let captured = (word.text.split_once(CAPTURE)).filter(|_| system.text.starts_with('/'));
        match captured {
            Some((before, after)) if !word.text.starts_with('/') => {
                let captures = regex(system).transpose()?.map_or(0, |regex| regex.captures_len());
                if captures < 2 {
                    return Err(format!(
                        "\"{}\" asks for a captured part, and the regular expression \"{}\" has none in parentheses",
                        word.text, system.text
                    ));
                }
                Ok(Self::Captured { before: before.into(), after: after.into() })
            }
            _ => match UserName::of(word)? {
                UserName::MemberOf(role) => Err(format!(
                    "\"+{role}\" depends on memberships in roles, which only the servers know: list the users"
                )),
                name => Ok(Self::Named(name)),
            },
        }
    }
}

impl Entry {
    fn allows(&self, system: &str, user: &str) -> bool {
        let captured = match &self.system {
            SystemName::Exactly(name) if **name == *system => "",
            SystemName::Exactly(_) => return false,
            SystemName::Like(regex) => match regex.captures(system) {
                Some(captures) => captures.get(1).map_or("", |part| part.as_str()),
                None => return false,
            },
        };
        match &self.user {
            User::Named(name) => name.fits(user, &Members::default()) == Fit::Yes,
            User::Captured { before, after } => {
                user.strip_prefix(&**before).and_then(|rest| rest.strip_suffix(&**after)) == Some(captured)
            }
        }
    }
}
