//! What the machine is told, and what it says.

use std::time::Duration;

use smallvec::SmallVec;

use crate::clock::Moment;

/// A server connection's place in its pool.
pub type ServerId = usize;

/// A waiting client's place in its pool.
pub type Ticket = usize;

/// Which start-up settings a server was opened with; a client is only given a server of its own flavour.
pub type Flavour = u32;

/// What a pool may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotLimits {
    /// Servers at most (`default_pool_size`).
    pub size: usize,
    /// Servers kept even when idle (`min_pool_size`).
    pub min_size: usize,
    /// Servers beyond `size` for clients that have waited for `reserve_after`.
    pub reserve_size: usize,
    /// How long a client waits before the reserve is opened to it.
    pub reserve_after: Duration,
    /// A server older than this is not used again.
    pub lifetime: Option<Duration>,
    /// A server idle for longer than this is closed.
    pub idle_timeout: Option<Duration>,
    /// Servers being opened at once.
    pub opening_max: usize,
    /// How much longer a client of another worker must have waited to go first.
    pub handover_slack: Duration,
    /// How many clients of a free server's own worker may overtake one of another worker, unless more than twice as many
    /// wait: then half of those.
    pub overtakes_max: u64,
    /// Which of several idle servers is used.
    pub reuse: Reuse,
}

/// Which of several idle servers is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reuse {
    /// The one used last: the fewest are kept busy.
    #[default]
    LastUsed,
    /// The one that has idled longest, and never the only idle one while another may be opened: a client finds
    /// itself on another server each time, which is for tests (`rotate_servers`).
    Rotate,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A client wants a server.
    Acquire {
        /// The client's place among those who wait.
        ticket: Ticket,
        /// Its worker.
        worker: usize,
        /// The start-up settings it needs.
        flavour: Flavour,
    },
    /// A waiting client has gone, or was told to go elsewhere.
    GiveUp(Ticket),
    /// A server was opened.
    Opened(ServerId),
    /// A server could not be opened; none is tried before the moment.
    OpenFailed(ServerId, Moment),
    /// A server could not be opened because a limit shared with other pools is reached; none is tried before the
    /// moment, unless room is made.
    NoRoom(ServerId, Moment),
    /// A login was refused; none with the same start-up settings is tried before the moment.
    LoginRefused(ServerId, Moment),
    /// A lease ended.
    Returned(ServerId, Return),
    /// A server that was being reset or cancelled is as good as new.
    Recovered(ServerId),
    /// A server broke, or may not be used again.
    Broken(ServerId),
    /// Every idle server is to be closed.
    CloseIdle,
    /// Servers that were opened before this are not to be used again, but for this one: they go as soon as they are free.
    Retire(Option<ServerId>),
    /// A server is to be opened for what it says of itself, in the place of another.
    Renew {
        /// Whose client asks.
        worker: usize,
        /// With these start-up settings.
        flavour: Flavour,
    },
    /// The same, and until the moment, or until somebody wants a server, none is kept or opened that nobody uses.
    Vacate(Moment),
    /// One idle server is to be closed, to make room elsewhere.
    Evict,
    /// Failed openings may be tried again at once.
    Retry,
    /// Time has passed.
    Tick,
}

/// In what state a lease gives its server back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Return {
    /// Ready for the next client.
    Clean,
    /// To be worked on first (reset, rolled back, or a cancel request to be awaited).
    Recovering,
    /// Not to be used again.
    Close,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The client gets this server.
    Lease(Ticket, ServerId),
    /// A server is to be opened.
    Open {
        /// Under this place.
        server: ServerId,
        /// By this worker.
        worker: usize,
        /// With these start-up settings.
        flavour: Flavour,
    },
    /// The server is to be closed; its place is gone.
    Close(ServerId),
}

/// What is to be done, in order.
pub type Actions = SmallVec<[Action; 2]>;

/// How many servers are in which state, and how many clients wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Being opened.
    pub opening: usize,
    /// Ready.
    pub idle: usize,
    /// Serving a client.
    pub leased: usize,
    /// Being reset, rolled back, or held until a cancel request has ended.
    pub recovering: usize,
    /// Clients that wait for a server.
    pub waiting: usize,
}
