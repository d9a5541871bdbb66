//! What is known of every database's catalogue ([`Lore`]): asked of its leader, kept fresh, believed for so long.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::{ArcSwapOption, Guard};
use dashmap::DashMap;
use parking_lot::Mutex;

use super::lore::{Lore, QUESTION};
use crate::{
    clock::Moment,
    pool::{flavours::FlavourHeld, lease::Finish},
    route::table::WriteRoute,
    server::ask,
    session::{
        acquire::{Request, Start},
        routes::Purpose,
    },
    wire::schema::Schema,
};

/// What is older is learnt anew, while it is still believed.
const REFRESH_AFTER: Duration = Duration::from_secs(30);

/// What is older is not believed any more.
const BELIEVED_MAX: Duration = Duration::from_secs(600);

/// Between two questions to one database.
const PAUSE: Duration = Duration::from_secs(1);

/// The leader takes no longer to answer.
const ANSWER_MAX: Duration = Duration::from_secs(15);

/// Databases of which something is known, at most; for more, everything goes to the leader.
const PLACES_MAX: usize = 4096;

/// All databases, by cluster and name.
#[derive(Debug, Default)]
pub struct Atlas {
    places: DashMap<(Arc<str>, Arc<str>, Origin), Arc<Place>>,
    numbers: Arc<AtomicU64>,
}

/// Who is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The leader, or a replica while there is none.
    Leader,
    /// A replica: whoever only reads has no business with the leader.
    Replica,
}

/// One database.
#[derive(Debug)]
pub struct Place {
    origin: Origin,
    lore: ArcSwapOption<Lore>,
    /// Whose generation that is. Kept here, it goes on while nobody is connected, and whoever comes next finds what is known.
    schema: ArcSwapOption<Schema>,
    next: Mutex<Next>,
    numbers: Arc<AtomicU64>,
}

/// When the next question may be asked.
#[derive(Clone, Copy, Debug)]
enum Next {
    /// From then on.
    At(Moment),
    /// One is under way.
    UnderWay,
}

impl Atlas {
    /// The place of a database. Beyond `PLACES_MAX` it is one that is forgotten with its client.
    pub fn place(&self, cluster: &Arc<str>, database: &Arc<str>, origin: Origin) -> Arc<Place> {
        let key = (cluster.clone(), database.clone(), origin);
        if let Some(known) = self.places.get(&key) {
            return known.clone();
        }
        let place = Arc::new(Place {
            origin,
            lore: ArcSwapOption::empty(),
            schema: ArcSwapOption::empty(),
            next: Mutex::new(Next::At(Moment::ZERO)),
            numbers: self.numbers.clone(),
        });
        if self.places.len() >= PLACES_MAX {
            self.places.retain(|_, place| Arc::strong_count(place) > 1);
        }
        if self.places.len() < PLACES_MAX { self.places.entry(key).or_insert(place).clone() } else { place }
    }
}

impl Place {
    /// What is known and may be believed now.
    #[inline]
    pub fn lore(&self) -> Guard<Option<Arc<Lore>>> {
        self.lore.load()
    }

    /// Whether this holds at `now`, with this schema.
    #[inline]
    pub fn holds(lore: &Lore, schema: &Schema, now: Moment) -> bool {
        schema.seen().meanings == lore.seen.meanings && now.since(lore.asked_at) < BELIEVED_MAX
    }

    /// Whether it should be learnt anew, which the caller then does. What was only taken away is no reason to doubt it, but
    /// nothing need be the leader's any more for its sake.
    #[inline]
    pub fn must_ask(&self, lore: Option<&Lore>, schema: &Schema, now: Moment) -> bool {
        let is_fresh = |lore: &Lore| now.since(lore.asked_at) < REFRESH_AFTER && schema.seen() == lore.seen;
        !lore.is_some_and(is_fresh) && self.may_ask(now)
    }

    #[cold]
    fn may_ask(&self, now: Moment) -> bool {
        let mut next = self.next.lock();
        let may = matches!(*next, Next::At(at) if at <= now);
        if may {
            *next = Next::UnderWay;
        }
        may
    }

    /// A replica has refused a text.
    pub fn refused(&self, text: &[u8]) {
        let number = self.number();
        self.lore.rcu(|lore| lore.as_ref().map(|lore| Arc::new(lore.refusing(text, number))));
    }

    fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Asks over a connection of the pool that the client uses.
    pub(in crate::session) async fn learn(
        self: Arc<Self>,
        mut request: Request,
        schema: Arc<Schema>,
        _held: FlavourHeld,
    ) {
        let clock = request.context.clock;
        self.schema.store(Some(schema.clone()));
        let router = &request.context.router;
        let has_leader = matches!(router.load().write, WriteRoute::Open(_));
        request.purpose = match self.origin {
            Origin::Replica => Purpose::Read,
            Origin::Leader if has_leader => Purpose::Write,
            Origin::Leader => Purpose::Split,
        };
        if let Err(why) = self.ask(request, &schema).await {
            match self.origin {
                Origin::Leader => {
                    tracing::warn!(
                        "what functions do could not be learnt, so what calls any counts as writing: {why}"
                    );
                }
                Origin::Replica => tracing::info!("what functions do could not be learnt: {why}"),
            }
        }
        *self.next.lock() = Next::At(clock.now() + PAUSE);
    }

    async fn ask(&self, request: Request, schema: &Schema) -> Result<(), String> {
        let clock = request.context.clock;
        let mut granted =
            request.acquire(Start::Route, Duration::ZERO).await.map_err(|error| error.to_string())?;
        let asked_at = clock.now();
        let seen = schema.seen();
        let server = granted.lease.server().ok_or("its server was given back")?;
        let answer = tokio::time::timeout(ANSWER_MAX, ask(&mut server.conn.stream, &[QUESTION])).await;
        let told = answer.map_err(|_| "no answer in time".to_owned())?.map_err(|error| error.to_string())?;
        server.conn.note(&told.parameters);
        let is_idle = told.status == b'I';
        granted.lease.finish(if is_idle { Finish::Settled } else { Finish::InTransaction }, clock.now());
        if let Some((_, error)) = told.refused.first() {
            return Err(error.to_string());
        }
        let lore = Lore::learn(&told, self.number(), asked_at, seen).ok_or("the answer is odd")?;
        self.lore.rcu(|before| {
            Some(Arc::new(match before {
                Some(before) => lore.clone().succeeding(before),
                None => lore.clone(),
            }))
        });
        Ok(())
    }
}
