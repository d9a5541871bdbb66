//! What a client sends, on its way to the server.
//!
//! Messages are found by their headers; most pass untouched. Names of prepared statements are replaced by the
//! server's, a Parse that the server has already is answered by us, and what a server lacks is prepared before it
//! is used. A pure machine: bytes in, bytes out.

use crate::clock::Moment;
use crate::{
    pool::account::{OpaquePolicy, PoolMode},
    server::conn::{Hygiene, ServerConn},
    session::{
        copies::Copy,
        reading::{Lexicon, Reading, Text},
        readings::Readings,
        tenancy::{Awaited, Settings, Tenancy},
    },
    wire::{
        error::{PgError, SqlState},
        frame::{HEADER_BYTES, Header, cstr, put, put_cstr},
        held::{Client, Known, Prepare, Sent, Worth},
        named::{ClientStatements, Named, Parsed, Serial},
        pipeline::{
            Acting, Block, Conduct, Copying, Followed, For, Form, Owed, OwnAnswer, Parsing, Pipeline,
            Refusal, Residue, Subject, TransactionStatus, Undo, Whose,
        },
        schema::{Schema, When},
        splice::Splice,
        state::Carried,
        statements::{
            Catalog, Description, SERVER_PREFIX, Scope, Sharing, Source, Statement, TAKEN, Unnamed,
            UnnamedAt, UnnamedText, fingerprint, put_close, put_parse_taken, put_parse_twice, taken_for_ours,
        },
    },
};
use std::sync::{Arc, atomic::AtomicBool};

/// A message up to this size is waited for whole if its names must be understood; a longer one streams through.
pub const WHOLE_BYTES_MAX: usize = 64 * 1024;

/// One with a text up to this size is waited for whole; a longer one streams through, judged by its beginning, which counts
/// as if it could do anything. Reading so much takes some milliseconds.
pub const TEXT_BYTES_MAX: usize = 1024 * 1024;

/// A named statement up to this size is kept; a longer one is refused.
pub const STATEMENT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Messages that may await an answer before no more are read from the client.
pub const OWED_MAX: usize = 16 * 1024;

/// What a client keeps from one server to the next.
#[derive(Default)]
pub struct Frontend {
    /// Its named statements.
    pub statements: ClientStatements,
    /// Its unnamed statement.
    unnamed: Unnamed,
    /// How many of those were passed on.
    unnamed_passed: u32,
    /// Bytes left of a message whose beginning has passed.
    rest: Rest,
}

/// What holds for the whole of one lease.
pub struct Terms<'a> {
    /// Whose lease it is: the process id that the client was told.
    pub client: Client,
    /// All statements.
    pub catalog: &'a Catalog,
    /// What statements parsed now depend on.
    pub scope: &'a Scope,
    /// How texts are read.
    pub lexicon: Lexicon,
    /// What long texts were read as.
    pub readings: &'a Readings,
    /// Statements that a server holds; 0: names are not mapped.
    pub max_prepared_statements: usize,
    /// For how long a server is the client's.
    pub mode: PoolMode,
    /// What is done with unnamed statements.
    pub unnamed: UnnamedPolicy,
    /// The schema of the database.
    pub schema: &'a Arc<Schema>,
    /// The time.
    pub now: Moment,
    /// Whether writing must stay impossible.
    pub read_only: bool,
    /// What the client's session holds beside the tracked settings.
    pub state: &'a Carried,
    /// What is thought of code whose effects no text shows.
    pub opaque: Option<&'a OpaquePolicy>,
    /// Which texts are looked at closely.
    pub vigilance: Vigilance,
    /// Whose draws from sequences the server may remember.
    pub sequences: Sequences,
    /// Whether a client of this user and database has read what its session drew from a sequence.
    pub sequences_are_read: &'a AtomicBool,
    /// Whether a client has ever set `temp_buffers`.
    pub temp_buffers_are_set: &'a AtomicBool,
    /// What gives a server what a client is told by a setting, for one that may ask for it.
    pub told: Option<&'a dyn Fn(Told) -> Option<String>>,
}

/// How far the client's bytes got.
#[derive(Debug, PartialEq, Eq)]
pub struct Forwarded<'a> {
    /// For the server.
    pub bytes: &'a [u8],
    /// How many of the client's bytes were dealt with; the others need more to be understood, or must wait.
    pub taken: usize,
    /// Why it got no further.
    pub stop: Stop,
}

/// Why no more of the client's bytes were dealt with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// More bytes are needed, if there are any left.
    Incomplete,
    /// Answers must come first.
    Unanswered,
    /// The client has said goodbye.
    Terminated,
}

/// What the bytes at the start of `input` allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// Too few to tell, or the message must be whole first.
    Incomplete,
    /// A request for a server.
    Request,
    /// Nothing that is answered: so many bytes of it are dropped.
    Noise(usize),
    /// Terminate.
    Goodbye,
}

impl Frontend {
    /// Whether a message has been passed on in part.
    pub fn is_inside_message(&self) -> bool {
        matches!(self.rest, Rest::Pass(_))
    }

    /// The named statements were discarded by command. The unnamed one is not touched by that.
    pub fn discarded(&mut self) {
        self.statements.clear();
    }

    /// The client's statement of this number, which stood for others' `statement`, is another.
    pub fn replace(&mut self, serial: Serial, statement: &Statement, next: &Arc<Statement>) {
        if serial != 0 {
            self.statements.replace(serial, next);
        } else if let Unnamed::Shared(known, _) = &mut self.unnamed
            && known.id() == statement.id()
        {
            *known = next.clone();
        }
    }

    /// Takes back what was noted for a message that the server did not carry out.
    pub fn undo(&mut self, undo: Undo, conn: &mut ServerConn, tenancy: &mut Tenancy) {
        match undo {
            Undo::ClientForgets(name) => {
                self.statements.remove(&name);
            }
            Undo::ClientKeeps(kept) => {
                let (name, named) = *kept;
                self.statements.restore(&name, named);
            }
            Undo::ServerForgets(id) => conn.statements.forget(id),
            Undo::ServerKeeps(id) => conn.statements.remember(id),
            Undo::ServerDistrusts(id) => {
                conn.statements.remember(id);
                conn.statements.spoil(id);
            }
            Undo::UnderOurName(name) => {
                tenancy.copies_mut().remove(&name);
            }
            Undo::UnderTrueName(name) => tenancy.copies_mut().put(&name, Copy::Placeholder),
            Undo::Unnamed(mut unnamed, at) => {
                if let Unnamed::Text(text) = &mut unnamed {
                    text.ends_unasked();
                }
                self.unnamed = unnamed;
                tenancy.unnamed = at;
            }
            Undo::UnnamedElsewhere => tenancy.unnamed = UnnamedAt::Unknown,
            Undo::DrawsOfOthers => tenancy.draws = Sequences::MayBeOthers,
        }
    }

    /// Passes `input` on to the server as far as it is understood.
    pub fn forward<'a>(
        &mut self,
        input: &'a [u8],
        out: &'a mut Vec<u8>,
        conn: &mut ServerConn,
        pipeline: &mut Pipeline,
        tenancy: &mut Tenancy,
        terms: &Terms<'_>,
    ) -> Result<Forwarded<'a>, PgError> {
        // Then statements are tried again with the next lease: what comes behind a transaction waits for that.
        let stands_in = conn.state.has_stand_ins();
        let mut passage = Passage { splice: Splice::new(input, out), conn, pipeline, tenancy, terms };
        let stop = loop {
            if self.rest != Rest::None {
                self.go_on_with_rest(&mut passage.splice);
            }
            let left = passage.splice.rest();
            if passage.tenancy.holds_client() || passage.pipeline.len() >= OWED_MAX {
                break Stop::Unanswered;
            }
            let Some(header) = header(left)? else { break Stop::Incomplete };
            if header.tag == b'X' {
                break Stop::Terminated;
            }
            if left.len() < header.total
                && left.len() < bytes_needed(header, left, terms.max_prepared_statements)
            {
                break Stop::Incomplete;
            }
            let message = &left[..header.total.min(left.len())];
            if must_wait(passage.pipeline, header.tag, message)
                || (stands_in || passage.tenancy.ends_its_stint()) && passage.begins_anew(header.tag)
            {
                break Stop::Unanswered;
            }
            self.message(header, message, &mut passage)?;
        };
        let taken = passage.splice.taken();
        Ok(Forwarded { bytes: passage.splice.finish(), taken, stop })
    }

    fn message(
        &mut self,
        header: Header,
        message: &[u8],
        passage: &mut Passage<'_, '_>,
    ) -> Result<(), PgError> {
        if passage.pipeline.is_skipping() && header.tag != b'S' {
            if !is_of_client(header.tag) {
                return Err(invalid_type(header.tag));
            }
            // The server would read and drop it.
            if header.tag == b'Q' && passage.tenancy.query_has_failed() {
                passage.end_for_query();
            }
            self.leave_out(header, message, passage);
            return Ok(());
        }
        self.learn(header, message, passage);
        match header.tag {
            b'Q' => self.query(header, message, passage),
            b'P' => self.parse(header, message, passage),
            b'B' => self.bind(header, message, passage),
            b'D' | b'C' => self.describe_or_close(header, message, passage),
            b'E' => self.execute(header, message, passage),
            b'S' if passage.pipeline.leaves_out_sync() => {
                self.leave_out(header, message, passage);
                Ok(())
            }
            b'S' => {
                if passage.tenancy.fate.is_on() {
                    passage.sync_decides();
                }
                if passage.pipeline.sync_must_commit() {
                    passage.begin_command();
                }
                passage.pipeline.sent(Owed::Sync);
                passage.tenancy.sequence_ends();
                self.pass(header, message, passage);
                Ok(())
            }
            b'F' => {
                passage.touch_by_call(message);
                passage.tenancy.fate.muddle();
                passage.pipeline.sent(Owed::FunctionCall);
                passage.tenancy.sequence_ends();
                self.pass(header, message, passage);
                Ok(())
            }
            b'c' | b'f' => {
                passage.pipeline.sent(Owed::CopyEnd);
                self.pass(header, message, passage);
                Ok(())
            }
            b'd' => {
                passage.pipeline.sent_data();
                self.pass(header, message, passage);
                Ok(())
            }
            // During a copy it is ignored, whatever is in it.
            b'H' if header.total > HEADER_BYTES && !passage.pipeline.is_taking_data() => {
                self.pass_malformed(header, message, passage)
            }
            b'H' => {
                self.pass(header, message, passage);
                Ok(())
            }
            tag => Err(invalid_type(tag)),
        }
    }

    fn query(
        &mut self,
        header: Header,
        message: &[u8],
        passage: &mut Passage<'_, '_>,
    ) -> Result<(), PgError> {
        let body = &message[HEADER_BYTES..];
        let (text, reading) = if message.len() == header.total {
            let Some(text) = text_of_query(body) else {
                self.pass_malformed_query(header, message, passage);
                return Ok(());
            };
            (Text::Whole(text), passage.read(text))
        } else {
            (Text::Prefix(body), Reading::of_prefix(body, passage.lexicon()))
        };
        passage.heed(reading, text)?;
        if let Some(refusal) = passage.tenancy.sight.refuses(reading.conduct.block) {
            passage.refuse_query(refusal);
            self.leave_out(header, message, passage);
            return Ok(());
        }
        if self.provide(reading.conduct, text, By::Query, passage) == Prepared::Checking {
            return Ok(());
        }
        passage.tenancy.sequence_ends();
        if let Some(followed) = passage.tenancy.must_await(reading.conduct) {
            passage.tenancy.awaited = Awaited::Answer(followed);
        }
        if reading.conduct.copying == Copying::In && message.len() == header.total {
            passage.tenancy.await_copy();
        }
        if passage.tenancy.fate.is_on() {
            passage.query_decides(reading.conduct);
        }
        // A simple query replaces the unnamed statement (documentation, "Extended Query").
        let before = std::mem::take(&mut self.unnamed);
        if passage.pipeline.is_in_sequence() {
            // Behind an error it is skipped.
            passage.pipeline.sent(Owed::Note(Undo::Unnamed(before, passage.tenancy.unnamed)));
        }
        passage.tenancy.unnamed = UnnamedAt::Ours;
        passage.tenancy.runs(reading.conduct);
        passage.pipeline.sent(Owed::Query(reading.conduct.block));
        self.pass(header, message, passage);
        Ok(())
    }
}

mod ahead;
mod asides;
mod deciding;
mod executing;
mod extended;
mod giving;
mod known;
mod learning;
mod malformed;
mod messages;
mod openings;
mod passage;
mod refused;
mod rest;
mod token;
mod touching;
mod true_names;
mod unnamed;

pub use super::tenancy::Sequences;
use malformed::{header, text_of_query};
use messages::{bytes_needed, invalid_type, is_of_client, must_wait, too_long_to_keep};
use passage::{Passage, Prepared};
use rest::Rest;
pub use token::Told;
pub use touching::Vigilance;
use true_names::By;
use unnamed::Mapped;
pub use unnamed::UnnamedPolicy;

#[cfg(test)]
mod tests;
