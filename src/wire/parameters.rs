//! The settings that follow a client from server to server.
//!
//! PostgreSQL reports the settings marked `GUC_REPORT` by ParameterStatus (documentation, "Asynchronous
//! Operations"). Of these the ones that a session can change are tracked: what the client was told last is what
//! it must find on whichever server it gets next.

use std::{fmt::Write, sync::Arc};

use super::message::encode_parameter_status;

/// The tracked settings, by the name in which PostgreSQL reports them.
pub const TRACKED: [&str; 8] = [
    "application_name",
    "client_encoding",
    "DateStyle",
    "IntervalStyle",
    "TimeZone",
    "standard_conforming_strings",
    "default_transaction_read_only",
    "search_path",
];

/// The first of [`TRACKED`] says nothing about how a statement is parsed; the rest may.
const PARSE_RELEVANT_FROM: usize = 1;

/// Which tracked setting has this name (in any case); its place in [`TRACKED`].
pub fn tracked(name: &str) -> Option<usize> {
    TRACKED.iter().position(|known| known.eq_ignore_ascii_case(name))
}

/// A value for each tracked setting; `None` where the server reports none (an older PostgreSQL).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Parameters {
    values: [Option<Arc<str>>; TRACKED.len()],
}

/// Which tracked settings a client has chosen itself. The others it has been told, and follow what its server's configuration says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Own(u8);

impl Own {
    /// All, perhaps.
    pub const ALL: Self = Self(u8::MAX);

    /// Those that have a value here.
    pub fn with_value_in(parameters: &Parameters) -> Self {
        let values = parameters.values.iter().enumerate();
        Self(values.fold(0, |own, (place, value)| own | u8::from(value.is_some()) << place))
    }
}

impl Parameters {
    /// Only those that are a client's own: of the others nothing is known to be wanted.
    #[must_use]
    pub fn only(&self, own: Own) -> Self {
        let mut only = self.clone();
        let others = only.values.iter_mut().enumerate().filter(|(place, _)| own.0 & 1 << place == 0);
        others.for_each(|(_, value)| *value = None);
        only
    }

    /// The same, and those of `others` of which nothing is known here.
    #[must_use]
    pub fn or(mut self, others: &Self) -> Self {
        for (value, other) in self.values.iter_mut().zip(&others.values) {
            *value = value.take().or_else(|| other.clone());
        }
        self
    }

    /// The value of a tracked setting.
    pub fn get(&self, place: usize) -> Option<&Arc<str>> {
        self.values.get(place)?.as_ref()
    }

    /// Whether the server reports every setting that a client may take for followed: PostgreSQL before 14 does not
    /// report `default_transaction_read_only`.
    pub fn all_are_reported(&self) -> bool {
        tracked("default_transaction_read_only").is_none_or(|place| self.values[place].is_some())
    }

    /// Notes a value; false if the name is not tracked.
    pub fn set(&mut self, name: &str, value: &str) -> bool {
        let Some(place) = tracked(name) else { return false };
        if self.values[place].as_deref() != Some(value) {
            self.values[place] = Some(value.into());
        }
        true
    }

    /// Puts a setting, by its place, back to what it is in `start`.
    pub fn reset(&mut self, place: usize, start: &Self) {
        if let (Some(value), Some(known)) = (self.values.get_mut(place), start.values.get(place)) {
            value.clone_from(known);
        }
    }

    /// The tracked settings out of what a server reported.
    pub fn from_reported<'a>(reported: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut parameters = Self::default();
        for (name, value) in reported {
            parameters.set(name, value);
        }
        parameters
    }

    /// Whether nothing is known of a tracked setting.
    pub fn lacks(&self, name: &str) -> bool {
        tracked(name).is_some_and(|place| self.values[place].is_none())
    }

    /// The same, with a setting that is left alone: no client can have another value of it.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        if let Some(place) = tracked(name) {
            self.values[place] = None;
        }
        self
    }

    /// Whether statements parsed under these settings and under `other` mean the same.
    pub fn parse_alike(&self, other: &Self) -> bool {
        self.values[PARSE_RELEVANT_FROM..] == other.values[PARSE_RELEVANT_FROM..]
    }

    /// The settings that bear on parsing, as one comparable text.
    pub fn parse_key(&self) -> String {
        let mut key = String::new();
        for value in &self.values[PARSE_RELEVANT_FROM..] {
            key.push_str(value.as_deref().unwrap_or("\u{1}"));
            key.push('\u{0}');
        }
        key
    }

    /// The ParameterStatus messages that take a client from `self` to `now`.
    pub fn status_of_difference(&self, now: &Self) -> Vec<u8> {
        let mut messages = Vec::new();
        for (place, name) in TRACKED.iter().enumerate() {
            if let Some(value) = &now.values[place]
                && self.values[place].as_ref() != Some(value)
            {
                encode_parameter_status(&mut messages, name.as_bytes(), value.as_bytes());
            }
        }
        messages
    }

    /// The same with those settings as they are in `others` that have a value in `which`.
    #[must_use]
    pub fn with_those_of(mut self, which: &Self, others: &Self) -> Self {
        for (place, value) in self.values.iter_mut().enumerate() {
            if which.values[place].is_some() {
                value.clone_from(&others.values[place]);
            }
        }
        self
    }

    /// The statement that gives a server with `self` the settings in `wanted`; `None` if nothing differs. Where nothing is
    /// known to be wanted it is what the server had at its start. A setting that it does not report is not touched.
    pub fn difference_sql(&self, wanted: &Self, start: &Self) -> Option<String> {
        let mut sql = String::new();
        for (place, name) in TRACKED.iter().enumerate() {
            let want = wanted.values[place].as_ref().or(start.values[place].as_ref());
            let (Some(have), Some(want)) = (&self.values[place], want) else { continue };
            if have == want {
                continue;
            }
            let want = quote_literal(want);
            // search_path is a list. SET would take the text for one name, and has no way of writing an empty list.
            let written = if *name == "search_path" {
                write!(sql, "SELECT pg_catalog.set_config('{name}', {want}, false);")
            } else {
                write!(sql, "SET {name} TO {want};")
            };
            // Writing to a String cannot fail.
            debug_assert!(written.is_ok());
        }
        (!sql.is_empty()).then_some(sql)
    }
}

/// Quotes a text as a literal that reads the same whatever `standard_conforming_strings` says
/// (documentation, "String Constants": a backslash needs the `E''` form).
fn quote_literal(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 3);
    if text.contains('\\') {
        quoted.push_str(" E");
    }
    quoted.push('\'');
    for c in text.chars() {
        if c == '\'' || c == '\\' {
            quoted.push(c);
        }
        quoted.push(c);
    }
    quoted.push('\'');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Parameters {
        Parameters::from_reported(pairs.iter().copied())
    }

    #[test]
    fn the_difference_is_what_set_says() {
        let server = of(&[("TimeZone", "UTC"), ("DateStyle", "ISO, MDY"), ("application_name", "a")]);
        for (wanted, sql) in [
            (vec![("TimeZone", "UTC"), ("DateStyle", "ISO, MDY")], None),
            (vec![("TimeZone", "Europe/Paris")], Some("SET TimeZone TO 'Europe/Paris';")),
            (vec![("application_name", "it's")], Some("SET application_name TO 'it''s';")),
            (vec![("application_name", "a\\b")], Some("SET application_name TO  E'a\\\\b';")),
            (vec![("search_path", "\"$user\", public")], None),
            (vec![("server_version", "99")], None),
        ] {
            assert_eq!(
                server.difference_sql(&of(&wanted), &Parameters::default()).as_deref(),
                sql,
                "{wanted:?}"
            );
        }
        let server = of(&[("search_path", "a")]);
        for (wanted, sql) in [
            ("\"$user\", public", "SELECT pg_catalog.set_config('search_path', '\"$user\", public', false);"),
            ("", "SELECT pg_catalog.set_config('search_path', '', false);"),
            ("\"\"", "SELECT pg_catalog.set_config('search_path', '\"\"', false);"),
        ] {
            assert_eq!(
                server.difference_sql(&of(&[("search_path", wanted)]), &Parameters::default()).as_deref(),
                Some(sql),
                "{wanted}"
            );
        }
    }

    #[test]
    fn what_nobody_asked_for_is_what_it_was_at_the_start() {
        let (server, start) =
            (of(&[("TimeZone", "UTC"), ("DateStyle", "ISO, MDY")]), of(&[("TimeZone", "CET")]));
        for (wanted, sql) in [
            (vec![], Some("SET TimeZone TO 'CET';")),
            (vec![("TimeZone", "UTC")], None),
            (vec![("TimeZone", "Asia/Tokyo")], Some("SET TimeZone TO 'Asia/Tokyo';")),
        ] {
            assert_eq!(server.difference_sql(&of(&wanted), &start).as_deref(), sql, "{wanted:?}");
        }
    }

    #[test]
    fn what_a_client_asks_for_is_laid_over_a_start() {
        let start = of(&[("TimeZone", "UTC"), ("DateStyle", "ISO, MDY")]);
        let now = of(&[("TimeZone", "Asia/Tokyo"), ("DateStyle", "SQL, DMY")]);
        let asked = of(&[("DateStyle", "sql, european")]);
        let welcome = start.with_those_of(&asked, &now);
        assert_eq!(welcome, of(&[("TimeZone", "UTC"), ("DateStyle", "SQL, DMY")]));
    }

    #[test]
    fn what_was_only_told_is_not_wanted() {
        let told = of(&[("TimeZone", "UTC"), ("DateStyle", "ISO, MDY"), ("application_name", "a")]);
        let own = Own::with_value_in(&of(&[("application_name", ""), ("DateStyle", "x")]));
        assert_eq!(told.only(own), of(&[("DateStyle", "ISO, MDY"), ("application_name", "a")]));
        assert_eq!(told.only(Own::ALL), told);
        let server = of(&[("TimeZone", "CET"), ("DateStyle", "ISO, MDY"), ("application_name", "b")]);
        let sql = server.difference_sql(&told.only(own), &server);
        assert_eq!(sql.as_deref(), Some("SET application_name TO 'a';"));
    }

    #[test]
    fn a_name_of_its_own_does_not_change_how_statements_parse() {
        let (a, b) = (of(&[("application_name", "a")]), of(&[("application_name", "b")]));
        assert!(a.parse_alike(&b) && a.parse_key() == b.parse_key());
        let c = of(&[("DateStyle", "ISO, DMY")]);
        assert!(!a.parse_alike(&c) && a.parse_key() != c.parse_key());
    }
}
