//! Where the next request of a client goes whose listener splits, and how one comes back from a replica.

use std::sync::Arc;

use smallvec::SmallVec;

use super::{Cut, Exchange, Finish, Flow, Moment, PoolMode, Session};
use crate::{
    pool::tether::Tether,
    route::leaning::Leaning,
    session::{
        acquire::Needs,
        exchange::ClientEnd,
        reading::Lexicon,
        routes::Purpose,
        split::{
            Returned, Split,
            atlas::{Origin, Place},
            lore::Lore,
            request::{Part, first, parsed},
            trial::Lasting,
            verdict::{Noted, Reason, Verdict},
        },
    },
    wire::{
        options,
        state::{Carried, SessionState},
        statements::Statement,
    },
};

/// The setting by which a client chooses for itself.
const SETTING: &[u8] = b"pgsteer.route";

impl Session {
    /// What a client of a listener that splits begins with.
    pub(super) fn begin_to_split(&mut self) {
        let (context, account) = (&self.context, &self.tenant.account);
        if context.purpose != Purpose::Split {
            return;
        }
        let at_start = context.pools.flavours().settings(self.flavour.number());
        self.split = Some(Box::new(Split {
            place: context.atlas.place(&account.cluster, &account.database, Origin::Leader),
            leaning: wished(&at_start).unwrap_or(account.settings.load().leaning),
            returned: Returned::No,
            purpose: Purpose::Write,
            reason: Reason::Writes,
            request_bytes: 0,
        }));
    }

    /// Where its requests go.
    #[inline]
    pub(super) fn purpose(&self) -> Purpose {
        self.split.as_ref().map_or(self.context.purpose, |split| split.purpose)
    }

    /// Decides where the request at the front of `bytes` goes.
    #[inline]
    pub(super) fn choose(&mut self, bytes: &[u8], now: Moment) {
        if let Some(split) = self.split.take() {
            self.split = Some(self.split(split, bytes, now));
        }
    }

    fn split(&self, mut split: Box<Split>, bytes: &[u8], now: Moment) -> Box<Split> {
        self.keep_learning(&split.place, now);
        let lore = split.place.lore();
        let (reason, request_bytes) = match split.returned {
            Returned::Yes => (Reason::Returned, 0),
            Returned::No => self.reason(split.leaning, (*lore).as_deref(), bytes, now),
        };
        if let Some(counter) = self.context.worker.counters.splits.get(reason as usize) {
            counter.add(1);
        }
        drop(lore);
        split.returned = Returned::No;
        split.request_bytes = request_bytes;
        split.reason = reason;
        split.purpose = if reason.is_read() { Purpose::Split } else { Purpose::Write };
        split
    }

    /// Why the request at the front of `bytes` goes where it does, and how long it is.
    fn reason(&self, at_start: Leaning, lore: Option<&Lore>, bytes: &[u8], now: Moment) -> (Reason, usize) {
        let state = self.state.get();
        if self.mode == PoolMode::Session || state.is_some_and(is_the_leaders) {
            return (Reason::State, 0);
        }
        if self.lexicon != Lexicon::Standard {
            return (Reason::NotWhole, 0);
        }
        let wish = state.and_then(|state| state.setting(SETTING));
        let leaning = wish.and_then(|wish| Leaning::of(&wish.value)).unwrap_or(at_start);
        let Some(lore) = lore.filter(|lore| Place::holds(lore, &self.schema, now)) else {
            return (if leaning == Leaning::Write { Reason::AskedWrite } else { Reason::Unlearnt }, 0);
        };
        let mut reason = None;
        let mut named = SmallVec::<[&[u8]; 4]>::new();
        let length = first(bytes, |part| {
            let verdict = match part {
                Part::Nothing => return true,
                Part::Uses(name) if named.contains(&name) => return true,
                Part::Text(text) => self.context.worker.texts.verdict(text, lore),
                // The server is to say that it is taken, and what is taken back would be the statement that has it.
                Part::Parse(name, _) if self.frontend.statements.get(name).is_some() => {
                    reason = Some(Reason::NotWhole);
                    return false;
                }
                Part::Parse(name, text) => {
                    named.push(name);
                    self.context.worker.texts.verdict(text, lore)
                }
                Part::Uses(name) => self.verdict_on(name, lore),
            };
            let why = verdict.reason(leaning);
            if reason.is_none() || !why.is_read() {
                reason = Some(why);
            }
            why.is_read()
        });
        match (length, reason) {
            (Some(length), Some(reason)) => (reason, length),
            (None, Some(reason)) if !reason.is_read() => (reason, 0),
            // A Sync alone is anybody's; but nothing is gained.
            _ => (Reason::NotWhole, 0),
        }
    }

    /// What a statement is that the client has prepared before.
    pub(in crate::session) fn verdict_on(&self, name: &[u8], lore: &Lore) -> Verdict {
        let of = |statement: &Statement| {
            Noted::get(&statement.verdict, lore).unwrap_or_else(|| {
                let verdict = self.context.worker.texts.verdict(statement.query(), lore);
                Noted::set(&statement.verdict, verdict, lore);
                verdict
            })
        };
        match self.frontend.statements.get(name) {
            Some(named) => of(&named.statement),
            None if !name.is_empty() => Verdict::Writes,
            None => self.frontend.stand_in().map_or_else(
                || {
                    let text = self.frontend.unnamed_text();
                    text.map_or(Verdict::Writes, |text| self.context.worker.texts.verdict(text, lore))
                },
                |statement| of(statement),
            ),
        }
    }

    /// What is known of a database is kept fresh.
    #[inline]
    pub(in crate::session) fn keep_learning(&self, place: &Arc<Place>, now: Moment) {
        if place.must_ask(place.lore().as_deref(), &self.schema, now) {
            self.learn_of_database(place.clone());
        }
    }

    #[cold]
    fn learn_of_database(&self, place: Arc<Place>) {
        let tether = Arc::new(Tether::default());
        let needs = Needs { tether: &tether, state: &Carried::NOTHING, goal: None, ..self.needs() };
        tokio::spawn(place.learn(needs.request(), self.schema.clone(), self.flavour.clone()));
    }

    /// A replica gets the request alone, and the request is kept.
    #[inline]
    pub(super) fn try_alone(&self, exchange: &mut Exchange, bytes: &[u8]) {
        let Some(split) = &self.split else { return };
        let on_replica = exchange.lease.as_ref().is_some_and(|lease| lease.term() == 0);
        if on_replica && split.purpose == Purpose::Split {
            exchange.trial.begin(&bytes[..split.request_bytes.min(bytes.len())]);
        }
    }

    /// The leader is to have a request that a replica has not answered.
    pub(in crate::session) fn ask_leader(&mut self, request: Vec<u8>, cause: &str, lasting: Lasting) {
        self.context.worker.counters.returns.count([cause]);
        parsed(&request, |name| {
            self.frontend.statements.remove(name);
        });
        if let Some(split) = &mut self.split {
            split.returned = Returned::Yes;
        }
        if lasting == Lasting::Yes {
            self.remember(&request);
        }
        let mut inbox = request;
        inbox.append(&mut self.inbox);
        self.inbox = inbox;
        self.resume = true;
    }

    fn remember(&self, request: &[u8]) {
        let Some(split) = &self.split else { return };
        first(request, |part| {
            let text = match part {
                Part::Text(text) | Part::Parse(_, text) => Some(text),
                Part::Uses(b"") => self.frontend.unnamed_text(),
                Part::Uses(name) => self.frontend.statements.get(name).map(|named| named.statement.query()),
                Part::Nothing => None,
            };
            text.into_iter().for_each(|text| split.place.refused(text));
            true
        });
    }

    /// The replica is gone before it has begun to answer: it cannot have changed anything, so the leader may be asked.
    pub(super) fn lost_replica(&mut self, exchange: &mut Exchange, cut: &Cut) -> bool {
        let cause = match cut {
            Cut::ServerGone(_) => "server_gone",
            Cut::Revoked(_) => "deposed",
            _ => return false,
        };
        // What is only called a read may have written, where the replica was promoted a moment ago; unless all that it has got
        // is ours.
        let reads = self.split.as_ref().is_some_and(|split| split.reason.is_proven());
        if exchange.client != ClientEnd::Open || !(reads || exchange.untried.is_unsent()) {
            return false;
        }
        let Some((request, unsent)) = exchange.trial.take_back() else { return false };
        self.inbox.drain(..unsent.min(self.inbox.len()));
        if let (Cut::ServerGone(why), Some(lease)) = (cut, &exchange.lease) {
            lease.pool().suspect(&format!("a connection in use broke: {why}"));
        }
        self.ask_leader(request, cause, Lasting::No);
        true
    }

    /// Goes on with what the client has sent meanwhile.
    pub(super) fn leave_replica(&self, exchange: Box<Exchange>, now: Moment) -> Flow {
        self.give_back(exchange, Finish::Broken, now);
        Flow::Again
    }
}

/// Whether a session holds what a replica cannot: it listens, or its transactions are serializable.
fn is_the_leaders(state: &SessionState) -> bool {
    let isolation = state.setting(b"default_transaction_isolation");
    !state.channels().is_empty()
        || isolation.is_some_and(|setting| setting.value.eq_ignore_ascii_case(b"serializable"))
}

/// What start-up settings wish.
fn wished(settings: &[(String, String)]) -> Option<Leaning> {
    let of = |(name, value): &(String, String)| {
        let is_it = name.as_bytes().eq_ignore_ascii_case(SETTING);
        if is_it { Leaning::of(value.as_bytes()) } else { None }
    };
    settings.iter().find_map(|setting| match setting {
        (name, words) if name == "options" => options::settings(words)?.iter().rev().find_map(of),
        setting => of(setting),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_at_the_start() {
        for (name, value, expected) in [
            ("pgsteer.route", "read", Some(Leaning::Read)),
            ("PgSteer.Route", "WRITE", Some(Leaning::Write)),
            ("options", "-c pgsteer.route=write", Some(Leaning::Write)),
            ("options", "-c work_mem=1MB --pgsteer.route=auto", Some(Leaning::Auto)),
            ("options", "-c work_mem=1MB", None),
            ("work_mem", "read", None),
            ("pgsteer.route", "away", None),
        ] {
            assert_eq!(wished(&[(name.to_owned(), value.to_owned())]), expected, "{name} {value}");
        }
    }
}
