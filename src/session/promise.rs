//! What a client's reads must see: where in the cluster's history it stands.

use std::sync::Arc;

use smallvec::SmallVec;

use super::split::atlas::Place;
use crate::{
    cluster::{
        headway::Held,
        ids::{Lsn, Timeline},
        token::Token,
    },
    route::{consistency::Consistency, router::Router},
    wire::error::{PgError, SqlState},
};

pub mod placing;
pub mod telling;

use placing::Open;

/// What a replica must show, all of it; usually one.
pub type Goal = SmallVec<[Token; 2]>;

/// What a client's reads must see.
#[derive(Debug)]
pub struct Promise {
    /// What it wants.
    pub consistency: Consistency,
    /// What it has committed.
    own: Own,
    /// What it has been handed (`pgsteer.wait_for`).
    handed: Handed,
    /// What its next read must see.
    pub goal: Goal,
    /// What is known of its database, where the leader is its client's: what only reads commits nothing.
    pub(super) place: Option<Arc<Place>>,
}

/// What a client has committed itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Own {
    /// Nothing.
    Nothing,
    /// It ends here at the latest; the term's number in which that was, or was last found to be so.
    At(Token, u64),
    /// Something in this term, and it is not known where it ends. What it had committed before, if that is known and all else is one
    /// transaction.
    Unplaced(u64, Option<Before>),
}

/// What a client had committed before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    Nothing,
    At(Token, u64),
}

/// What a client was handed by another, or by itself on another connection.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Handed {
    /// Nothing.
    Nothing,
    /// This, by this text.
    This(Box<[u8]>, Token),
    /// This text is of no use, which the client has heard.
    Useless(Box<[u8]>),
}

/// The term in force, as what is checked against it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Office {
    /// Its number.
    pub epoch: u64,
    /// Its leader's timeline.
    pub timeline: Timeline,
}

impl Office {
    /// The term in force.
    pub fn of(router: &Router) -> Option<Self> {
        let table = router.load();
        let term = table.term.as_ref()?;
        Some(Self { epoch: term.epoch, timeline: term.timeline })
    }
}

/// Why a client cannot be shown what it has been promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The history went on without it.
    Lost,
    /// It is not known whether the history went on with it.
    Unknown,
    /// It is of another cluster.
    Foreign,
    /// It is no token.
    Unreadable,
}

impl Promise {
    /// Nothing so far. `None` for a client that wants nothing.
    pub fn new(consistency: Consistency) -> Option<Box<Self>> {
        (consistency != Consistency::Eventual).then(|| {
            Box::new(Self {
                consistency,
                own: Own::Nothing,
                handed: Handed::Nothing,
                goal: Goal::new(),
                place: None,
            })
        })
    }

    /// What the client was handed is this text now. What cannot be read it is told of once.
    pub fn hand(&mut self, text: Option<&[u8]>) -> Result<(), Loss> {
        let text = text.map(<[u8]>::trim_ascii).filter(|text| !text.is_empty());
        match (&self.handed, text) {
            (Handed::Nothing, None) => {}
            (_, None) => self.handed = Handed::Nothing,
            (Handed::This(known, _) | Handed::Useless(known), Some(text)) if **known == *text => {}
            (_, Some(text)) => {
                let token = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
                let Some(token) = token else {
                    self.handed = Handed::Useless(text.into());
                    return Err(Loss::Unreadable);
                };
                self.handed = Handed::This(text.into(), token);
            }
        }
        Ok(())
    }

    /// Sets the goal for the next read, to what it must see beside `others`.
    pub fn aim(&mut self, others: Option<Token>) {
        self.goal.clear();
        if let Own::At(token, _) = self.own {
            self.goal.push(token);
        }
        if let Handed::This(_, token) = &self.handed {
            self.goal.push(*token);
        }
        self.goal.extend(others);
    }

    /// Whether something was committed of which it is not known where it ends: only the leader is sure to show it.
    pub const fn is_unplaced(&self) -> bool {
        matches!(self.own, Own::Unplaced(..))
    }

    /// The furthest of what its reads must see.
    pub fn furthest(&self) -> Option<Token> {
        let handed = match &self.handed {
            Handed::This(_, token) => Some(*token),
            Handed::Nothing | Handed::Useless(_) => None,
        };
        self.token().into_iter().chain(handed).max_by_key(|token| (token.timeline, token.lsn))
    }

    /// What the client's own commits come to, if that is known.
    pub const fn token(&self) -> Option<Token> {
        match self.own {
            Own::At(token, _) => Some(token),
            Own::Nothing | Own::Unplaced(..) => None,
        }
    }

    /// The client has committed something that ends here at the latest.
    pub fn placed(&mut self, system_id: Option<u64>, office: Office, lsn: Lsn) {
        self.own = match (system_id, self.own) {
            (None, _) => Own::Unplaced(office.epoch, None),
            // Answers of one connection come in order, but it may have had several.
            (Some(_), Own::At(token, epoch))
                if epoch == office.epoch && token.timeline == office.timeline && token.lsn >= lsn =>
            {
                self.own
            }
            (Some(system_id), _) => {
                Own::At(Token { system_id, timeline: office.timeline, lsn }, office.epoch)
            }
        };
    }

    /// The client may have committed something, and it is not known where that ends. Of one transaction this may be said often.
    pub fn unplaced(&mut self, epoch: u64, what: Open) {
        let before = match (what, self.own) {
            (Open::Several, _) => None,
            (Open::One, Own::Nothing) => Some(Before::Nothing),
            (Open::One, Own::At(token, epoch)) => Some(Before::At(token, epoch)),
            (Open::One, Own::Unplaced(known, before)) => before.filter(|_| known == epoch),
        };
        self.own = Own::Unplaced(epoch, before);
    }

    /// The transaction of which it was not known where it ends was not committed, and never will be.
    pub fn not_committed(&mut self) {
        match self.own {
            Own::Unplaced(_, Some(Before::Nothing)) => self.own = Own::Nothing,
            Own::Unplaced(_, Some(Before::At(token, epoch))) => self.own = Own::At(token, epoch),
            Own::Nothing | Own::At(..) | Own::Unplaced(_, None) => {}
        }
    }

    /// A server of this term's leader is about to be the client's: whether everything that it must see is there. What is not,
    /// it is told of once.
    pub fn admit(&mut self, office: Office, holds: &dyn Fn(&Token) -> Held) -> Result<(), Loss> {
        let own = match self.own {
            Own::Nothing => Ok(()),
            Own::At(_, epoch) | Own::Unplaced(epoch, _) if epoch == office.epoch => Ok(()),
            Own::Unplaced(..) => Err((Loss::Unknown, Own::Unplaced(office.epoch, None))),
            Own::At(token, _) => match holds(&token) {
                Held::Yes => {
                    self.own = Own::At(token, office.epoch);
                    Ok(())
                }
                // What it committed before that is still to be seen.
                Held::Lost(left) => Err((Loss::Lost, Own::At(Token { lsn: left, ..token }, office.epoch))),
                Held::Foreign => Err((Loss::Foreign, Own::Nothing)),
                Held::Unknown => Err((Loss::Unknown, Own::Unplaced(office.epoch, None))),
            },
        };
        if let Err((loss, left)) = own {
            self.own = left;
            return Err(loss);
        }
        self.admit_handed(office, holds)
    }

    fn admit_handed(&mut self, office: Office, holds: &dyn Fn(&Token) -> Held) -> Result<(), Loss> {
        let (text, loss) = match &mut self.handed {
            Handed::Nothing | Handed::Useless(_) => return Ok(()),
            Handed::This(text, token) => match holds(token) {
                Held::Yes => return Ok(()),
                Held::Lost(left) => {
                    token.lsn = left;
                    return Err(Loss::Lost);
                }
                Held::Foreign => (std::mem::take(text), Loss::Foreign),
                Held::Unknown => {
                    // What is there now bounds whatever is left of it.
                    self.own = Own::Unplaced(office.epoch, None);
                    (std::mem::take(text), Loss::Unknown)
                }
            },
        };
        self.handed = Handed::Useless(text);
        Err(loss)
    }
}

impl Loss {
    /// In a word, for the count.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Unknown => "unknown",
            Self::Foreign => "foreign",
            Self::Unreadable => "unreadable",
        }
    }

    /// What the client hears.
    pub fn error(self) -> PgError {
        const AGAIN: &str = "This is said once; what comes next sees the cluster as it is now.";
        match self {
            Self::Lost => PgError::error(
                SqlState::WRITE_LOST,
                "a write that this session was to see was lost in a failover",
            )
            .detail("The cluster's history goes on from a position before the one at which the write was known to be complete.")
            .hint(AGAIN),
            Self::Unknown => PgError::error(
                SqlState::WRITE_LOST,
                "a write that this session was to see may have been lost in a failover",
            )
            .detail("It is not known where the new leader's timeline has left the one of the write.")
            .hint(AGAIN),
            Self::Foreign => PgError::error(
                SqlState::WRITE_LOST,
                "what this session was to see belongs to another cluster",
            )
            .detail("The system identifiers differ: the cluster was set up anew, or the token comes from elsewhere.")
            .hint(AGAIN),
            Self::Unreadable => PgError::error(
                SqlState::INVALID_PARAMETER_VALUE,
                "invalid value for parameter \"pgsteer.wait_for\"",
            )
            .detail("It must be what SHOW pgsteer.token has told."),
        }
    }
}

/// No replica has come far enough in time.
pub fn not_reached(goal: &[Token]) -> PgError {
    let furthest = goal.iter().map(|token| token.lsn).max().unwrap_or_default();
    // As PostgreSQL says it where WAIT FOR LSN takes too long.
    PgError::error(
        SqlState::QUERY_CANCELED,
        "timed out while waiting for a replica to replay what this session must see",
    )
    .detail(format!("No replica that qualifies has replayed up to {furthest} within consistency_wait."))
}

#[cfg(test)]
mod tests;
