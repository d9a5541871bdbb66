//! What a server is asked about its session, and what the session makes of the answer.

use super::{Activity, Exchange, Flow, Moment, Session, settling::Purpose};
use crate::{
    pool::lease::Lease,
    server::{
        Questions, Told,
        conn::{Hygiene, Temporary},
    },
    session::{
        inquiry::{Circumstances, Findings, Inquiry, UNREADABLE, put_description},
        touched::Touched,
        way_out::WayOut,
    },
    sql::touches::Kinds,
    wire::state::{Definition, SessionState},
};

/// What is asked, and what was answered so far.
pub(super) struct Inspection {
    touched: Box<Touched>,
    inquiry: Inquiry,
    around: Circumstances,
    /// The first answer. What came behind it the inquiry has taken.
    told: Option<Told>,
}

impl Inspection {
    pub(super) const fn new(touched: Box<Touched>, inquiry: Inquiry, around: Circumstances) -> Self {
        Self { touched, inquiry, around, told: None }
    }

    /// Whether any of this was touched.
    pub(super) fn is_about(&self, kinds: Kinds) -> bool {
        self.touched.kinds().has_any(kinds)
    }

    /// Hears an answer. What is to be asked then, if anything is.
    pub(super) fn hear(&mut self, told: Told) -> Option<Questions> {
        let more = self.inquiry.hear(&told, &self.around.state);
        self.told.get_or_insert(told);
        more
    }
}

impl Session {
    /// What the client's unnamed statement yields could not be told when it was parsed.
    #[cold]
    pub(super) fn ask_for_description(&mut self, exchange: Box<Exchange>, now: Moment) -> Flow {
        self.entry.in_transaction(None);
        self.entry.enter(Activity::Idle, now);
        let mut questions = Questions::default();
        put_description(&mut questions, b"");
        self.ask(exchange, questions, Purpose::Describe, now)
    }

    /// Whether this return of a server is one of those that are looked at closely.
    #[inline]
    pub(super) fn is_sample(&self) -> bool {
        let leases = self.context.worker.counters.leases.get();
        self.sample.is_some_and(|sample| leases.is_multiple_of(u64::from(sample.get())))
    }

    /// Nothing is known to be left: is that so?
    #[cold]
    pub(super) fn sample(&mut self, exchange: Box<Exchange>, now: Moment) -> Flow {
        let around = self.circumstances(&exchange);
        let touched = Box::new(Touched::anything());
        let Some(mut inquiry) = Inquiry::about(&touched, &around) else {
            return self.release(exchange, now);
        };
        self.entry.in_transaction(None);
        self.entry.enter(Activity::Idle, now);
        let questions = inquiry.questions();
        let inspection = Box::new(Inspection::new(touched, inquiry, around));
        self.ask(exchange, questions, Purpose::Sample(inspection), now)
    }

    /// What was found that no text has shown is nobody's: it may have been there for long.
    pub(super) fn found(&self, exchange: &mut Exchange, told: &Told, inspection: &Inspection) {
        let Inspection { touched, inquiry, around, .. } = inspection;
        if !told.refused.is_empty() {
            return;
        }
        let Findings { state, pins } = inquiry.findings(&told.rows, touched, around);
        let settings = if state.is_like(&around.state) { Kinds::NONE } else { Kinds::SETTINGS };
        for kind in (pins | settings).each().map(pin_word) {
            self.context.worker.counters.found.count([kind]);
            tracing::warn!(
                user = %self.tenant.account.user, database = %self.tenant.account.database, kind,
                "a session's state was changed by what no statement shows (see opaque_function_names)"
            );
        }
        if !(pins | settings).is_empty()
            && let Some(server) = exchange.lease.as_mut().and_then(Lease::server)
        {
            server.conn.hygiene = Hygiene::Dirty;
        }
    }

    pub(super) fn circumstances(&self, exchange: &Exchange) -> Circumstances {
        let settings = self.context.pools.flavours().settings(self.flavour.number());
        Circumstances {
            login: self.tenant.account.user.clone(),
            state: self.state.clone(),
            parameters: self.parameters.clone(),
            scope: self.scope.clone(),
            pins: exchange.tenancy.pins,
            custom: self.tenant.account.custom_settings.names(),
            // Switches of the server's command line may hold it, too.
            starts_with_role: settings
                .iter()
                .any(|(name, _)| name.eq_ignore_ascii_case("role") || name == "options"),
        }
    }

    /// What the server said is the client's from now on.
    pub(super) fn learn(&mut self, exchange: &mut Exchange, inspection: Inspection) {
        let Inspection { touched, inquiry, around, told } = inspection;
        let told = told.unwrap_or_default();
        if let Some((0, error)) = told.refused.first() {
            tracing::info!(
                user = %self.tenant.account.user, database = %self.tenant.account.database,
                sqlstate = error.code.as_str(), "a server did not say what a session holds"
            );
            exchange.tenancy.keep_touched(touched);
            exchange.tenancy.pins = around.pins | UNREADABLE;
            return;
        }
        for name in inquiry.deallocated(&told.rows) {
            self.frontend.statements.remove(name);
        }
        let Findings { state, pins } = inquiry.findings(&told.rows, &touched, &around);
        if let Some(server) = exchange.lease.as_mut().and_then(Lease::server) {
            server.conn.state = state.as_on(&server.conn.state);
            if pins.has(Kinds::TEMP) {
                server.conn.temporary = Temporary::Perhaps;
            }
        }
        if let Some(ears) = &mut self.ears {
            ears.heard.retain(|channel| state.get().is_some_and(|state| state.channels().contains(channel)));
        }
        exchange.tenancy.inspected(pins);
        if exchange.tenancy.way_out != WayOut::Failed && !self.state.is_like(&state) {
            let custom = state.get().into_iter().flat_map(SessionState::settings);
            custom
                .filter(|(_, setting)| setting.definition == Definition::Placeholder)
                .for_each(|(name, _)| self.tenant.account.custom_settings.note(name));
            self.state = state;
            self.settings_changed();
        }
        if self.has_prepared_otherwise() {
            exchange.tenancy.pins |= Kinds::PREPARED;
        }
    }

    /// Whether a statement was prepared by SQL under other settings than those of now: prepared elsewhere it could mean
    /// something else.
    #[inline]
    pub(super) fn has_prepared_otherwise(&self) -> bool {
        let state = self.state.get();
        state.is_some_and(|state| state.statements().any(|(_, prepared)| prepared.scope != self.scope))
    }
}

/// What keeps a client on its server, in words for the log and the count.
pub(super) fn pin_word(kind: Kinds) -> &'static str {
    if kind == UNREADABLE { "unreadable" } else { kind.names().next().unwrap_or_default() }
}
