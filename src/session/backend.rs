//! What a server sends, on its way to the client.
//!
//! The answers to messages of ours are left out, answers of our own put in, settings taken note of; all else passes
//! untouched. A pure machine: bytes in, bytes out.

use std::sync::Arc;

use crate::{
    pool::account::PoolMode,
    server::conn::{Hygiene, ServerConn},
    session::{ears, frontend::Frontend, tenancy::Tenancy},
    wire::{
        frame::{HEADER_BYTES, Header, Malformed},
        parameters::Parameters,
        pipeline::{OwnAnswer, Passage, Pipeline, TransactionStatus, Undo, Unexpected},
        splice::Splice,
        state::Carried,
        statements::Catalog,
    },
};

/// An error or setting up to this size is waited for whole where it must be understood.
const WHOLE_BYTES_MAX: usize = 64 * 1024;

/// Where in its messages a server is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backend {
    rest: Rest,
    last_word: LastWord,
}

/// Whether the server has announced that it ends the session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LastWord {
    /// It has not.
    #[default]
    None,
    /// It has, by an error of severity FATAL or PANIC, which the client has got.
    Said,
    /// It has, and what becomes of the client's commit is to be found out: it is not told so far.
    Kept,
    /// It has, and the client, whose server it is only by the transaction, has nothing to do with it: nothing of
    /// its is open, so it is not told.
    Unheard,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Rest {
    #[default]
    None,
    Pass(usize),
    Skip(usize),
}

/// What the server's bytes brought.
#[derive(Debug, PartialEq, Eq)]
pub struct Received<'a> {
    /// For the client.
    pub bytes: &'a [u8],
    /// How many of the server's bytes were dealt with.
    pub taken: usize,
    /// What was completed on the way.
    pub progress: Progress,
}

impl Rest {
    const fn of(bytes: usize, passes: bool) -> Self {
        match (bytes, passes) {
            (0, _) => Self::None,
            (_, true) => Self::Pass(bytes),
            (_, false) => Self::Skip(bytes),
        }
    }
}

/// The server does not keep to the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A length that cannot be.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// An answer to nothing.
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

/// Who had a server process last, each by process id.
pub type ClientOf<'a> = &'a dyn Fn(u32) -> Option<u32>;

/// The client's side of the session, as far as the server's answers change it.
pub struct ClientSide<'a> {
    /// What the client keeps.
    pub frontend: &'a mut Frontend,
    /// The tracked settings as the client knows them.
    pub parameters: &'a mut Arc<Parameters>,
    /// The settings to which a reset leads.
    pub reset_values: &'a Arc<Parameters>,
    /// What its session holds beside them.
    pub state: &'a mut Carried,
    /// What happened during this lease.
    pub tenancy: &'a mut Tenancy,
    /// For how long the server is the client's.
    pub mode: PoolMode,
    /// What it hears otherwise.
    pub heard: Option<Heard<'a>>,
    /// The client that had a server process last, by the process id that it was told.
    pub client_of: ClientOf<'a>,
    /// All statements.
    pub catalog: &'a Catalog,
}

impl Backend {
    /// Whether a message has reached the client in part.
    pub fn is_inside_message(&self) -> bool {
        matches!(self.rest, Rest::Pass(_))
    }

    /// Whether what comes next begins with a message.
    pub fn is_between_messages(&self) -> bool {
        self.rest == Rest::None
    }

    /// Whether the server itself has told the client that it ends the session.
    pub fn last_word(&self) -> LastWord {
        self.last_word
    }

    /// Appends the answers of our own that nothing from the server will bring along. Inside a message of the
    /// server's they wait for its end.
    pub fn own_answers(&self, pipeline: &mut Pipeline, out: &mut Vec<u8>) {
        if self.rest == Rest::None && pipeline.only_own_answers() {
            while let Some(answer) = pipeline.own_answer_due() {
                out.extend_from_slice(own_answer(answer));
            }
        }
    }

    /// Passes `input` on to the client as far as it is understood.
    pub fn forward<'a>(
        &mut self,
        input: &'a [u8],
        out: &'a mut Vec<u8>,
        conn: &mut ServerConn,
        pipeline: &mut Pipeline,
        client: &mut ClientSide<'_>,
    ) -> Result<Received<'a>, Fault> {
        let mut splice = Splice::new(input, out);
        let mut progress = Progress::default();
        loop {
            self.rest(&mut splice);
            if self.rest != Rest::None {
                break;
            }
            let Some(header) = pass_plain(&mut splice, pipeline, client.tenancy)? else { break };
            let left = splice.rest();
            if pipeline.keeps_sequence() {
                match refused(header, left, pipeline, conn, client)? {
                    Refusal::Unclear => break,
                    Refusal::Refused(bytes) => {
                        splice.skip(bytes);
                        continue;
                    }
                    Refusal::Aside | Refusal::None => {}
                }
            }
            let describes = described::describes(header, pipeline);
            if left.len() < header.total && must_be_whole(header, describes, pipeline) {
                break;
            }
            let message = &left[..header.total.min(left.len())];
            if header.tag == b'E'
                && let Some(unheard) = unheard(message, header, pipeline, client)
            {
                self.last_word = unheard;
                splice.skip(message.len());
                self.rest = Rest::of(header.total - message.len(), false);
                continue;
            }
            if describes || header.tag == b'N' {
                described::note(header, message, pipeline, conn, client);
            }
            let last = pipeline.len() == 1;
            let mut passage = received(header.tag, message, conn, pipeline, client)?;
            match header.tag {
                _ if matches!(passage, Passage::Swallow | Passage::Evidence) => {}
                tag if matches!(passage, Passage::Position) => client.tenancy.placing.hear(tag, message),
                b'Z' => ready(pipeline, conn, client, &mut splice, &mut progress),
                b'E' => passage = self.failed(message, passage, pipeline, conn, client),
                b'S' if header.total <= WHOLE_BYTES_MAX => match setting(message, conn, client) {
                    Setting::Other => {}
                    Setting::Told => progress.settings = Changed::OfServer,
                    Setting::Held => passage = Passage::Swallow,
                },
                b'G' => client.tenancy.copy_begins(pipeline.is_in_sequence()),
                b'C' => completed(message, last, conn, client, &mut progress),
                _ => {}
            }
            if pipeline.is_empty() {
                client.tenancy.answered(pipeline.is_in_sequence());
            }
            let remaining = header.total - message.len();
            let told_otherwise = header.tag == b'A' && header.total <= WHOLE_BYTES_MAX;
            let as_it_is = matches!(passage, Passage::Pass) && !told_otherwise;
            let passes = as_it_is || !replace(message, &passage, pipeline, client, &mut splice);
            if passes {
                splice.pass(message.len())
            } else {
                splice.skip(message.len())
            }
            self.rest = Rest::of(remaining, passes);
        }
        if pipeline.is_empty() && client.tenancy.holds_client() {
            // The last answer was one of ours.
            client.tenancy.answered(pipeline.is_in_sequence());
        }
        Ok(Received { taken: splice.taken(), bytes: splice.finish(), progress })
    }

    /// The client hears an error: as the server says it, unless that names something of ours.
    fn failed(
        &mut self,
        message: &[u8],
        passage: Passage,
        pipeline: &Pipeline,
        conn: &mut ServerConn,
        client: &mut ClientSide<'_>,
    ) -> Passage {
        client.tenancy.failed();
        conn.unsettled = None;
        if !pipeline.awaits_check() {
            client.tenancy.check_fails();
        }
        if let Passage::Name(serial) = passage {
            let frontend = &client.frontend;
            let statement = if serial == 0 { frontend.stand_in() } else { frontend.statements.of(serial) };
            if let Some(statement) = statement {
                described::refused(message, serial, statement, conn, client.catalog);
            }
        }
        if is_fatal(message) {
            self.last_word = LastWord::Said;
        } else {
            client.tenancy.fate.fails();
        }
        let restored = conn.state.get().and_then(|state| state.meant_by(message));
        let copied = || client.tenancy.copies()?.meant_by(message);
        restored.or_else(copied).map_or(passage, Passage::Meant)
    }

    #[inline]
    fn rest(&mut self, splice: &mut Splice<'_>) {
        if self.rest != Rest::None {
            self.rest_goes_on(splice);
        }
    }

    fn rest_goes_on(&mut self, splice: &mut Splice<'_>) {
        let left = splice.rest().len();
        self.rest = match self.rest {
            Rest::None => return,
            Rest::Pass(rest) => {
                splice.pass(rest.min(left));
                Rest::of(rest.saturating_sub(left), true)
            }
            Rest::Skip(rest) => {
                splice.skip(rest.min(left));
                Rest::of(rest.saturating_sub(left), false)
            }
        };
    }
}

/// What becomes of a message; what it shows not to have been carried out is taken back.
#[inline]
fn received(
    tag: u8,
    message: &[u8],
    conn: &mut ServerConn,
    pipeline: &mut Pipeline,
    client: &mut ClientSide<'_>,
) -> Result<Passage, Unexpected> {
    let status = if tag == b'Z' { message.get(HEADER_BYTES).copied() } else { None };
    let ClientSide { frontend, tenancy, .. } = client;
    if tag == b'E' {
        refusal::of_ours(message, pipeline, tenancy);
    }
    let passage = pipeline.received(tag, status, &mut |undo: Undo| frontend.undo(undo, conn, tenancy))?;
    match (tag, &passage) {
        (b'D', Passage::Evidence) => tenancy.fate.hear(message),
        (b'C', Passage::Evidence) => tenancy.fate.heard(),
        (b'C', Passage::Pass) => tenancy.fate.completes(),
        (b'Z', Passage::Swallow) if pipeline.is_empty() => tenancy.check_ends(),
        _ => {}
    }
    Ok(passage)
}

/// Whether an error is not for the client, or not yet.
#[cold]
fn unheard(
    message: &[u8],
    header: Header,
    pipeline: &Pipeline,
    client: &mut ClientSide<'_>,
) -> Option<LastWord> {
    if client.mode != PoolMode::Session && pipeline.may_release() {
        return Some(LastWord::Unheard);
    }
    let tenancy = &mut *client.tenancy;
    let keeps = (tenancy.fate.is_pending() && pipeline.awaits_commit().can_be_told())
        || (tenancy.fate.has_committed() && pipeline.awaits_ready().can_be_told());
    (keeps && message.len() == header.total && is_fatal(message)).then(|| {
        tenancy.farewell = Some(message.into());
        LastWord::Kept
    })
}

/// Puts what the client is told in the place of a message, if it is not told the message itself; whether that is so.
fn replace(
    message: &[u8],
    passage: &Passage,
    pipeline: &Pipeline,
    client: &mut ClientSide<'_>,
    splice: &mut Splice<'_>,
) -> bool {
    match passage {
        Passage::Swallow | Passage::Position | Passage::Evidence => {}
        Passage::Pass => notify(message, client, splice.insert()),
        Passage::Instead(refusal) => refusal.encode(splice.insert()),
        Passage::Meant(meant) => splice.insert().extend_from_slice(meant),
        Passage::Name(_) | Passage::NameTwice(_) => {
            let statements = &client.frontend.statements;
            let Some(name) = naming::clients_name(passage, message, pipeline, statements) else {
                return false;
            };
            naming::rename(message, &name, splice.insert());
        }
    }
    true
}

/// Whether the server refuses what we put in place of the client's unnamed statement: then the sequence is to be sent
/// again, and what was said of it is dropped.
#[cold]
fn refused(
    header: Header,
    left: &[u8],
    pipeline: &mut Pipeline,
    conn: &mut ServerConn,
    client: &mut ClientSide<'_>,
) -> Result<Refusal, Malformed> {
    let refusal = refusal::read(header, left)?;
    match refusal {
        Refusal::Unclear | Refusal::Aside => return Ok(refusal),
        Refusal::Refused(_) if described::tries_again(pipeline, conn, client) => return Ok(refusal),
        Refusal::Refused(_) | Refusal::None => {}
    }
    pipeline.forget_sequence();
    Ok(Refusal::None)
}

const fn own_answer(answer: OwnAnswer) -> &'static [u8] {
    match answer {
        OwnAnswer::ParseComplete => b"1\0\0\0\x04",
        OwnAnswer::CloseComplete => b"3\0\0\0\x04",
    }
}

mod completing;
mod described;
mod naming;
mod notifying;
mod passing;
mod progress;
mod refusal;
mod settings;

use completing::{completed, ready};
pub use notifying::Heard;
use notifying::notify;
use passing::{must_be_whole, pass_plain};
pub use progress::{Changed, Progress};
use refusal::{Refusal, is_fatal};
use settings::{Setting, command_tag, reset_settings, setting};

#[cfg(test)]
mod tests;
