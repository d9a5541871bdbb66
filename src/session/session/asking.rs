//! Asking the leader that goes on what became of a transaction.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::{Finish, Start};
use crate::{
    cluster::headway::Held,
    pool::commits::Commit,
    session::{
        acquire::Request,
        fate::{Fate, Ground, Witness, question},
        inspection::{Inspected, inspect},
        promise::Office,
    },
};

/// Between two questions, while there is no answer yet.
const PAUSE: Duration = Duration::from_millis(50);

/// A leader is in office, and it is not known how far its word goes: that is waited for as long as this.
const LEARN_MAX: Duration = Duration::from_secs(5);

/// What was found out, and in which term.
#[derive(Clone, Copy)]
pub(super) struct Found {
    pub(super) fate: Fate,
    pub(super) epoch: u64,
}

/// What asking a leader has come to.
enum Asked {
    /// This.
    Told(Found),
    /// Its word says nothing, as far as is known of how its timeline came to be.
    Puzzled,
}

/// Waits for a leader that can tell, and asks it.
pub(super) async fn find_out(request: Request, commit: Commit, within: Duration) -> Found {
    const UNKNOWN: Found = Found { fate: Fate::Unknown, epoch: 0 };
    let clock = request.context.clock;
    let asked = timeout(within, async {
        let mut puzzled_since = None;
        loop {
            match ask_once(&request, &commit, within).await {
                Some(Asked::Told(found)) => return found,
                Some(Asked::Puzzled) => {
                    let since = *puzzled_since.get_or_insert_with(|| clock.now());
                    if clock.now().since(since) >= LEARN_MAX {
                        return UNKNOWN;
                    }
                }
                None => puzzled_since = None,
            }
            sleep(PAUSE).await;
        }
    });
    asked.await.unwrap_or(UNKNOWN)
}

/// A leader has told this.
#[expect(clippy::unnecessary_wraps, reason = "it is what asking comes to")]
const fn told_by(epoch: u64, fate: Fate) -> Option<Asked> {
    Some(Asked::Told(Found { fate, epoch }))
}

/// `None`: nobody could be asked, or it is still open.
async fn ask_once(request: &Request, commit: &Commit, within: Duration) -> Option<Asked> {
    let (router, headway) = (&request.context.router, request.context.router.headway());
    let token = commit.token();
    let in_office = Office::of(router)?;
    match headway.holds(&token, in_office.timeline) {
        Held::Lost(_) => return told_by(in_office.epoch, Fate::NotCommitted),
        Held::Foreign => return told_by(in_office.epoch, Fate::Unknown),
        // Word of where it has left the other timeline may be under way.
        Held::Unknown => return Some(Asked::Puzzled),
        Held::Yes => {}
    }
    let mut granted = request.clone().acquire(Start::Route, Duration::ZERO).await.ok()?;
    let (epoch, number) = (granted.lease.term(), granted.lease.number());
    let clock = request.context.clock;
    let opened_at = granted.lease.server().map(|server| server.conn.opened_at)?;
    let member = granted.lease.pool().member().clone();
    let in_office = Office::of(router).filter(|office| office.epoch == epoch);
    let ground = in_office.map(|office| {
        let witness = Witness { member: &member, timeline: office.timeline, opened_at };
        commit.ground(headway.holds(&token, office.timeline), witness)
    });
    let Some(ground) = ground.filter(|ground| *ground != Ground::None) else {
        granted.lease.finish(Finish::Settled, clock.now());
        return Some(Asked::Puzzled);
    };
    let questions = vec![question::about(&commit.evidence)];
    let (mut lease, inspected) =
        inspect(request.context.clone(), granted.lease, questions, Some(within)).await;
    let Inspected::Told(told) = inspected else {
        lease.finish(Finish::Broken, clock.now());
        return None;
    };
    if let Some(server) = lease.server() {
        server.conn.note(&told.parameters);
    }
    // What a leader says that is not in office any more is nobody's.
    let revoked = request.tether.is_revoked(number) || !router.may_send(epoch, clock.now());
    lease.finish(if revoked { Finish::Broken } else { Finish::Settled }, clock.now());
    if revoked {
        return None;
    }
    ground.judge(question::status(&told)).and_then(|fate| told_by(epoch, fate))
}
