//! What stands on a server for a statement prepared by SQL that cannot be there what it was where its client prepared it:
//! it yields something else, or cannot be parsed any more.
//!
//! PostgreSQL keeps such a statement: it is listed, its name is taken, it can be deallocated, and whoever uses it hears
//! why that is not possible. So something has its name that is like it in all of this: it takes the same parameters and
//! fails where PostgreSQL reads a statement anew before it is planned or described. That it does under any search path
//! but the one it was parsed under, since its text names a function that only that path finds. What the server
//! says then names the stand-in, and is told as what is meant.

use std::sync::Arc;

use super::{
    super::{
        frame::{HEADER_BYTES, put},
        local::put_local,
        pipeline::Refusal,
        statements::put_parse_as,
    },
    CARRIED_MAX, Carried, Prepared, SessionState,
};

/// What has a statement's name instead of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandIn {
    /// Tells it from others on the same server; from [`CARRIED_MAX`] on it is one for a copy.
    number: usize,
    /// What whoever uses it is told: an ErrorResponse.
    said: Arc<[u8]>,
}

/// What a server has of a statement that it could not be given as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Substitute {
    /// This has its name.
    StandIn(StandIn),
    /// Nothing.
    None,
}

/// The schema that the stand-ins' text needs; every database has it, and everybody may use it.
const PATH: &str = "information_schema";

/// What comes ahead of a stand-in's number wherever it is named. A full stop ends the number.
const MARK: &str = "pgsteer stands in: ";

impl StandIn {
    /// One by whose use it shows that its statement yields something else.
    pub fn for_changed(number: usize) -> Self {
        let mut said = Vec::new();
        Refusal::ResultChanged.encode(&mut said);
        Self { number, said: said.into() }
    }

    /// One for a statement that could not be parsed, in the words of the server: the body of an ErrorResponse.
    pub fn for_refused(number: usize, words: &[u8]) -> Self {
        let mut said = Vec::new();
        put(&mut said, b'E', |out| out.extend_from_slice(words));
        Self { number, said: said.into() }
    }

    /// One for a copy of a client's statement that is run by SQL alone: by whose use this is said, an ErrorResponse, or that its
    /// statement yields something else.
    pub fn for_copy(number: usize, said: Option<Arc<[u8]>>) -> Self {
        let number = CARRIED_MAX + number;
        said.map_or_else(|| Self::for_changed(number), |said| Self { number, said })
    }

    /// Appends what gives a server such a one under the name `name`, with parameters of these types, as they stand on the wire.
    /// It fails when it is planned, as it is before it is run or explained.
    pub fn put_copy(&self, name: &[u8], types: &[u8], out: &mut Vec<u8>) {
        let text = format!("SELECT WHERE {}", self.fails());
        put_parse_as(name, text.as_bytes(), types, out);
    }

    fn mark(&self) -> String {
        format!("{MARK}{}.", self.number)
    }

    /// What cannot be planned.
    fn fails(&self) -> String {
        let mark = self.mark();
        format!("'{mark}'::pg_catalog.text::pg_catalog.int4 OPERATOR(pg_catalog.=) 0")
    }

    /// What is told instead of an ErrorResponse that names it.
    pub fn meant_by(&self, message: &[u8]) -> Option<Arc<[u8]>> {
        (named(message)? == self.number).then(|| self.said.clone())
    }

    /// Appends what gives a server the stand-in for the statement `name` with parameters of these types, as they stand on the
    /// wire; to be followed by Sync.
    ///
    /// Where the path it is parsed under leads to the function, too, it fails when it is planned.
    pub fn put(&self, name: &[u8], types: &[u8], out: &mut Vec<u8>) {
        let (mark, fails) = (self.mark(), self.fails());
        let text = format!(
            "SELECT '_pg_expandarray(pg_catalog.anyarray /* {mark} */)'::pg_catalog.regprocedure WHERE {fails}"
        );
        put_local(out, "search_path", PATH);
        put_parse_as(name, text.as_bytes(), types, out);
    }
}

/// The number of the stand-in that an ErrorResponse names.
fn named(message: &[u8]) -> Option<usize> {
    let fields = message.get(HEADER_BYTES..)?;
    let at = memchr::memmem::find(fields, MARK.as_bytes())? + MARK.len();
    let digits = fields.get(at..)?.split(|byte| *byte == b'.').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

impl Prepared {
    /// The bytes of all its parts.
    pub(super) fn bytes(&self) -> usize {
        self.text.len() + self.shape.types.len()
    }

    /// Whether it is `other`, or stands in for it.
    fn is_for(&self, other: &Self) -> bool {
        (&self.text, &self.scope, &self.shape) == (&other.text, &other.scope, &other.shape)
    }
}

impl SessionState {
    /// What is told instead of an ErrorResponse that names a stand-in.
    pub fn meant_by(&self, message: &[u8]) -> Option<Arc<[u8]>> {
        let mut stand_ins =
            self.statements.values().filter_map(|prepared| prepared.stand_in.as_ref()).peekable();
        stand_ins.peek()?;
        let number = named(message)?;
        stand_ins.find(|stand_in| stand_in.number == number).map(|stand_in| stand_in.said.clone())
    }
}

impl Carried {
    /// The same on a server that has something else of some of the statements.
    #[must_use]
    pub fn with_substitutes(&self, substitutes: Vec<(Box<[u8]>, Substitute)>) -> Self {
        let Some(state) = self.get().filter(|_| !substitutes.is_empty()) else { return self.clone() };
        let mut state = state.clone();
        for (name, substitute) in substitutes {
            match substitute {
                Substitute::None => {
                    state.statements.remove(&name);
                }
                Substitute::StandIn(stand_in) => {
                    if let Some(prepared) = state.statements.get_mut(&name) {
                        Arc::make_mut(prepared).stand_in = Some(stand_in);
                    }
                }
            }
        }
        self.become_or_stay(state)
    }

    /// The same on a server that had `before`: what stood in for a statement there does so still.
    #[must_use]
    pub fn as_on(&self, before: &Self) -> Self {
        let (Some(state), Some(before)) = (self.get(), before.get()) else { return self.clone() };
        let stands_in = |name: &[u8], prepared: &Prepared| {
            let stand_in = prepared.stand_in.clone()?;
            let wanted = state.statement(name)?;
            prepared.is_for(wanted).then(|| (name.into(), Substitute::StandIn(stand_in)))
        };
        let stand_ins = before.statements().filter_map(|(name, prepared)| stands_in(name, prepared));
        self.with_substitutes(stand_ins.collect())
    }

    /// Whether a statement is not there but something in its place.
    pub fn has_stand_ins(&self) -> bool {
        let mut statements = self.get().into_iter().flat_map(|state| state.statements.values());
        statements.any(|prepared| prepared.stand_in.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{description::Shape, frame::put_cstr};

    fn holding(names: &[&str]) -> Carried {
        let statement = |name: &&str| {
            let shape = Shape { types: [0, 0].into(), result: 7 };
            let prepared = Prepared {
                text: format!("PREPARE {name} AS TABLE t").into_bytes().into(),
                scope: "".into(),
                shape,
                stand_in: None,
            };
            (name.as_bytes().into(), Arc::new(prepared))
        };
        let mut state = SessionState::default();
        state.set_statements(names.iter().map(statement));
        Carried::NOTHING.become_or_stay(state)
    }

    fn error(text: &str) -> Vec<u8> {
        let mut message = Vec::new();
        put(&mut message, b'E', |out| {
            out.extend_from_slice(b"SERROR\0C42883\0M");
            put_cstr(out, text.as_bytes());
            out.push(0);
        });
        message
    }

    #[test]
    fn an_error_of_a_stand_in_is_told_as_what_is_meant() {
        let wanted = holding(&["p", "q", "r"]);
        let gone = StandIn::for_refused(11, b"SERROR\0C42P01\0Mrelation \"t\" does not exist\0\0");
        let have = wanted.with_substitutes(vec![
            (b"p".as_slice().into(), Substitute::StandIn(StandIn::for_changed(1))),
            (b"q".as_slice().into(), Substitute::StandIn(gone)),
            (b"r".as_slice().into(), Substitute::None),
        ]);
        assert!(have.has_stand_ins() && !wanted.has_stand_ins() && !have.is_like(&wanted));
        let told = |on: &Carried, said: &str| on.get().and_then(|state| state.meant_by(&error(said)));
        let says = |message: &[u8], what: &[u8]| memchr::memmem::find(message, what).is_some();
        let mut put = Vec::new();
        StandIn::for_changed(1).put(b"p", &[0, 0], &mut put);
        assert!(says(&put, b"/* pgsteer stands in: 1. */"));
        let one = told(&have, "function \"f(anyarray /* pgsteer stands in: 1. */)\" does not exist").unwrap();
        assert!(says(&one, b"cached plan must not change result type"));
        let other = told(&have, "invalid input: \"pgsteer stands in: 11.\"").unwrap();
        assert!(says(&other, b"C42P01") && other[0] == b'E');
        assert_eq!(told(&have, "pgsteer stands in: 2."), None);
        assert_eq!(told(&have, "relation \"x\" does not exist"), None);
        assert_eq!(told(&wanted, "pgsteer stands in: 1."), None, "there are none");
        // Found out anew there, what its client holds: what stands in stays, unless the client has something else by now.
        let after = holding(&["p", "s"]);
        let now = after.as_on(&have);
        assert!(
            told(&now, "pgsteer stands in: 1.").is_some() && told(&now, "pgsteer stands in: 11.").is_none()
        );
        assert!(now.get().is_some_and(|state| state.statement(b"s").is_some()));
    }
}
