//! A request that a replica tries: what it says is held back until it is known to be an answer.

use super::{ClientEnd, ClientSide, Cut, Exchange, Moment, Session};
use crate::{
    pool::lease::Lease,
    session::{
        split::trial::{Beginning, Lasting},
        untried::{self, Words},
    },
    wire::pipeline::TransactionStatus,
};

impl Session {
    /// The replica has not begun to answer.
    #[cold]
    pub(super) fn not_answered(
        &mut self,
        x: &mut Exchange,
        beginning: &Beginning,
        received: &[u8],
        output: &mut Vec<u8>,
    ) -> Result<bool, Cut> {
        if let Beginning::Refusal(why) = *beginning {
            return self.returned(x, received, output, why);
        }
        x.server_in = received.to_vec();
        Ok(true)
    }

    /// A server that was sent nothing of the client's so far, only what is ours, ends the session: whether another can have the
    /// request. Then the client need not hear of it.
    #[cold]
    pub(super) fn ends_before_it(&self, x: &Exchange, words: &[u8]) -> bool {
        let another = x.trial.is_on() || (self.rereads.is_some() && x.untried.is_unsent_read());
        another && x.backend.is_between_messages() && untried::ends(words)
    }

    /// A server says something for the first time: whether that is not for the client, or not yet.
    pub(super) fn holds_first_words(&self, x: &mut Exchange, words: &[u8], now: Moment) -> bool {
        let whole = x.client == ClientEnd::Open && !self.frontend.is_inside_message();
        match x.untried.heard(words, &x.pipeline, whole) {
            Words::Answer => false,
            Words::Unclear | Words::TurnedAway => true,
            Words::Lost(loss) => {
                let again = self.is_read_again(x, loss, now);
                if !again {
                    x.untried.answered();
                }
                again
            }
        }
    }

    /// The replica cannot do it: its whole answer is `received`. The leader is asked next, once this lease is over, which it
    /// is with that.
    fn returned(
        &mut self,
        x: &mut Exchange,
        received: &[u8],
        output: &mut Vec<u8>,
        (code, lasting): ([u8; 5], Lasting),
    ) -> Result<bool, Cut> {
        // What stands in for an unnamed statement is not sent again here.
        x.pipeline.forget_sequence();
        let mode = x.mode(self.mode);
        let known = self.parameters.clone();
        let Some(server) = x.lease.as_mut().and_then(Lease::server) else {
            return Err(Cut::ServerGone("it was given back".to_owned()));
        };
        let mut client = ClientSide {
            frontend: &mut self.frontend,
            parameters: &mut self.parameters,
            reset_values: &self.reset_values,
            state: &mut self.state,
            tenancy: &mut x.tenancy,
            mode,
            heard: None,
            client_of: &|_| None,
            catalog: &self.context.catalog,
        };
        let passed = x.backend.forward(received, output, &mut server.conn, &mut x.pipeline, &mut client);
        let taken = passed.map(|passed| passed.taken);
        let told = known.status_of_difference(&self.parameters);
        if !told.is_empty() {
            self.outbox.push(&told);
            self.settings_changed();
        }
        if x.untried.is_unsent() {
            x.pipeline.skips_nothing();
        }
        if !taken.is_ok_and(|taken| taken == received.len()) || !x.pipeline.may_release() {
            // Not as it should be. The request is still kept, and goes to the leader with the end of this lease.
            return Err(Cut::ServerGone("it did not end its answer".to_owned()));
        }
        if let Some((request, unsent)) = x.trial.take_back() {
            self.inbox.drain(..unsent.min(self.inbox.len()));
            self.ask_leader(request, std::str::from_utf8(&code).unwrap_or("odd"), lasting);
        }
        Ok(true)
    }

    /// A transaction that has begun on a replica stays there, and all that follows in it. Something came: true.
    #[inline]
    pub(super) fn tried(&mut self, x: &mut Exchange) -> bool {
        if x.trial.is_on() && x.pipeline.status() != TransactionStatus::Idle {
            x.trial.end();
            self.resume = !self.inbox.is_empty();
        }
        true
    }
}
