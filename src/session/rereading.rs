//! A read that another replica runs again, because its own was lost before the client had any of an answer.
//!
//! On a listener with `route = "read"` each request is kept as it was sent until its answer begins. If the replica is lost
//! by then (killed, cut off, or, where that is wished, in conflict with what it replays), the request is looked into: where
//! each statement proves to read only, as for listeners that split ([`super::split`]), and nothing was sent behind it,
//! another replica gets it, once. What cannot be proven is the client's to repeat, and it is told so.
//!
//! All of that is done when a replica is lost. Before, it costs the copy of a request.

use std::sync::Arc;

use smallvec::SmallVec;

use super::{
    exchange::{ClientEnd, Exchange, ReadOnly},
    reading::Lexicon,
    relay::Cut,
    routes::Purpose,
    session::Session,
    split::{
        atlas::{Origin, Place},
        request::{Part, first},
        verdict::Verdict,
    },
    untried::{Kind, Loss},
};
use crate::{
    clock::Moment,
    cluster::ids::MemberName,
    pool::{account::Rereading, lease::Lease},
    route::leaning::Leaning,
    wire::pipeline::TransactionStatus,
};

/// What a client of a read route has for that.
pub(super) struct Rereads {
    /// What is known of its database.
    place: Arc<Place>,
    /// Whether conflicts with replay count.
    conflicts: bool,
    /// The member that was lost under its request, which another is to have now.
    lost: Option<MemberName>,
}

impl Session {
    /// What a client of a read route begins with.
    pub(super) fn begin_to_read(&mut self) {
        let (context, account) = (&self.context, &self.tenant.account);
        let rereading = account.settings.load().rereading;
        if context.purpose == Purpose::Read && rereading != Rereading::Off {
            self.rereads = Some(Box::new(Rereads {
                place: context.atlas.place(&account.cluster, &account.database, Origin::Replica),
                conflicts: rereading == Rereading::AlsoConflicts,
                lost: None,
            }));
        }
    }

    /// A member that its request is not to go to, if there is another.
    #[inline]
    pub(super) fn avoided(&self) -> Option<&MemberName> {
        self.rereads.as_ref()?.lost.as_ref()
    }

    /// It gets a server: what it sends is kept for another one.
    #[inline]
    pub(super) fn keep_read(&mut self, exchange: &mut Exchange, now: Moment) {
        let Some(rereads) = &mut self.rereads else { return };
        let on_replica = exchange.lease.as_ref().is_some_and(|lease| lease.term() == 0);
        if !on_replica || exchange.read_only == ReadOnly::Enforced {
            rereads.lost = None;
            return;
        }
        let last = rereads.lost.take().is_some();
        exchange.untried.keep_for(if last { Kind::LastRead } else { Kind::Read });
        if let Some(rereads) = &self.rereads {
            self.keep_learning(&rereads.place, now);
        }
    }

    /// A lease ends early: whether what it was for goes to another replica.
    pub(super) fn is_read_again_after(&self, x: &mut Exchange, cut: &Cut, now: Moment) -> bool {
        let loss = match cut {
            Cut::ServerGone(_) => Loss::Gone,
            Cut::Revoked(_) => Loss::CutOff,
            _ => return false,
        };
        self.is_read_again(x, loss, now)
    }

    /// A replica is lost under a request: whether another may run it again.
    #[cold]
    pub(super) fn is_read_again(&self, x: &mut Exchange, loss: Loss, now: Moment) -> bool {
        let Some(rereads) = &self.rereads else { return false };
        let whole = x.client == ClientEnd::Open
            && !self.frontend.is_inside_message()
            && x.pipeline.status() == TransactionStatus::Idle;
        let wished = loss != Loss::Conflict || rereads.conflicts;
        // Not what its client has only called a read: it may have written, where the replica was promoted a moment ago.
        let reads = |verdict: Verdict| verdict.reason(Leaning::Auto).is_proven();
        // What the replica has got nothing of can have done nothing there.
        let reads = x.untried.is_unsent_read()
            || x.untried
                .read()
                .is_some_and(|request| self.proves_to_read(&rereads.place, request, now, reads));
        let again = whole && wished && reads;
        if again {
            x.untried.lost(loss);
        }
        again
    }

    /// Whether this is one whole request, as the client has sent it last, and every part of it is found to be what `reads`.
    pub(super) fn proves_to_read(
        &self,
        place: &Place,
        request: &[u8],
        now: Moment,
        reads: impl Fn(Verdict) -> bool,
    ) -> bool {
        // Where a backslash escapes, what seems a string may be a call.
        if self.lexicon != Lexicon::Standard {
            return false;
        }
        let lore = place.lore();
        let Some(lore) = lore.as_deref().filter(|lore| Place::holds(lore, &self.schema, now)) else {
            return false;
        };
        let mut used = SmallVec::<[&[u8]; 4]>::new();
        let length = first(request, |part| {
            let verdict = match part {
                Part::Nothing => return true,
                // What was used under this name before is not known any more.
                Part::Parse(name, _) if used.contains(&name) => return false,
                Part::Text(text) | Part::Parse(_, text) => self.context.worker.texts.verdict(text, lore),
                Part::Uses(name) => {
                    used.push(name);
                    self.verdict_on(name, lore)
                }
            };
            reads(verdict)
        });
        length == Some(request.len())
    }

    /// What was lost goes to another replica than this one.
    pub(super) fn avoid(&mut self, lease: Option<&Lease>, loss: Loss) {
        self.context.worker.counters.rereads.count([loss.word()]);
        if let (Some(rereads), Some(lease)) = (&mut self.rereads, lease) {
            rereads.lost = Some(lease.pool().member().clone());
        }
    }
}
