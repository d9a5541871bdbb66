//! What is measured, in which unit, and what it should come to.

use std::fmt;
use std::str::FromStr;

use crate::Result;
use crate::own::{self, Stream};
use crate::pgbench::{self, Protocol};
use crate::postgres::Postgres;
use crate::target::{Running, Target};

/// One figure of a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Metric {
    /// CPU time of the proxy for one unit of work.
    Cpu,
    /// Units of work in a second.
    Rate,
    /// Median latency, in milliseconds.
    P50,
    /// 99th percentile of the latency, in milliseconds.
    P99,
    /// Resident memory for each idle client, in KiB.
    Memory,
    /// System calls for one unit of work.
    Calls,
    /// Of these: send and write in their forms.
    Sends,
    /// Of these: receive and read in their forms.
    Receives,
    /// Of these: waits for readiness.
    Waits,
    /// Of these: futex, which is threads waking each other.
    Futexes,
}

impl Metric {
    /// Every one, in the order of the tables.
    pub(crate) const ALL: [Self; 10] = [
        Self::Cpu,
        Self::Rate,
        Self::P50,
        Self::P99,
        Self::Memory,
        Self::Calls,
        Self::Sends,
        Self::Receives,
        Self::Waits,
        Self::Futexes,
    ];

    /// Its key in JSON.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Rate => "rate",
            Self::P50 => "p50_ms",
            Self::P99 => "p99_ms",
            Self::Memory => "kib_per_client",
            Self::Calls => "calls",
            Self::Sends => "sends",
            Self::Receives => "receives",
            Self::Waits => "epoll_waits",
            Self::Futexes => "futexes",
        }
    }
}

/// What one run of one scenario against one target gave.
#[derive(Clone, Debug)]
pub(crate) struct Measurement {
    /// Its figures.
    pub(crate) figures: Vec<(Metric, f64)>,
    /// The share of the machine that processes not of this benchmark took meanwhile, 0 to 1.
    pub(crate) foreign: f64,
}

impl Measurement {
    /// One of its figures.
    pub(crate) fn get(&self, metric: Metric) -> Option<f64> {
        self.figures.iter().find(|(found, _)| *found == metric).map(|(_, value)| *value)
    }
}

/// What a figure should come to for pgsteer, with the better of one and two workers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Goal {
    /// At most that many times that of what it is compared with.
    RatioAtMost(Metric, f64),
    /// At least that many times that.
    RatioAtLeast(Metric, f64),
    /// At most that, whatever the others do.
    AtMost(Metric, f64),
}

impl Goal {
    /// Which figure it is about.
    pub(crate) fn metric(self) -> Metric {
        match self {
            Self::RatioAtMost(metric, _) | Self::RatioAtLeast(metric, _) | Self::AtMost(metric, _) => metric,
        }
    }

    /// Whether a median and its ratio to that of what it is compared with meet it.
    pub(crate) fn met(self, median: f64, ratio: Option<f64>) -> Option<bool> {
        match self {
            Self::RatioAtMost(_, bound) => ratio.map(|ratio| ratio <= bound),
            Self::RatioAtLeast(_, bound) => ratio.map(|ratio| ratio >= bound),
            Self::AtMost(_, bound) => Some(median <= bound),
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RatioAtMost(_, bound) => write!(f, "≤ {bound:.2} ×"),
            Self::RatioAtLeast(_, bound) => write!(f, "≥ {bound:.2} ×"),
            Self::AtMost(_, bound) => write!(f, "≤ {bound:.1}"),
        }
    }
}

/// The load of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Load {
    Pgbench(Protocol, u32),
    /// The same, for pgsteer that splits reads from writes beside pgsteer that does not.
    Split(Protocol, u32),
    Stream(Stream),
    Login,
    Idle,
}

/// A load, its name and what is expected of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    /// What it is called on the command line.
    pub(crate) id: &'static str,
    /// What it is.
    pub(crate) title: &'static str,
    /// The unit of work.
    pub(crate) unit: &'static str,
    /// What pgsteer's figures should come to.
    pub(crate) goals: &'static [Goal],
    load: Load,
}

use Goal::{AtMost, RatioAtLeast, RatioAtMost};
use Metric::{Cpu, Memory, Rate};

/// Every scenario, in the order they run.
pub(crate) const ALL: [Scenario; 13] = [
    pgbench(
        "simple16",
        "select-only, simple protocol, 16 clients",
        Protocol::Simple,
        16,
        &[RatioAtMost(Cpu, 1.05)],
    ),
    pgbench(
        "simple64",
        "select-only, simple protocol, 64 clients",
        Protocol::Simple,
        64,
        &[RatioAtMost(Cpu, 1.05), RatioAtLeast(Rate, 0.97)],
    ),
    pgbench("extended16", "select-only, unnamed statements, 16 clients", Protocol::Extended, 16, &[]),
    pgbench("extended64", "select-only, unnamed statements, 64 clients", Protocol::Extended, 64, &[]),
    pgbench(
        "prepared16",
        "select-only, prepared statements, 16 clients",
        Protocol::Prepared,
        16,
        &[RatioAtMost(Cpu, 0.85)],
    ),
    pgbench(
        "prepared64",
        "select-only, prepared statements, 64 clients",
        Protocol::Prepared,
        64,
        &[RatioAtMost(Cpu, 0.85), RatioAtLeast(Rate, 1.1)],
    ),
    Scenario {
        id: "split16",
        title: "select-only, prepared statements, 16 clients: reads to a replica beside all to the leader",
        unit: "query",
        goals: &[RatioAtMost(Cpu, 1.1)],
        load: Load::Split(Protocol::Prepared, 16),
    },
    stream(
        "result10",
        "a result of 10 MB in rows of 1 KB, one client",
        Stream::WideRows,
        &[RatioAtMost(Cpu, 0.6)],
    ),
    // The server hands these over 8 KiB at a time, slower than anybody forwards them: waking up for each is nearly
    // all there is to pay, and a bare forwarder is at 0.77 ×.
    stream("resultrows", "a result of 10 MB in rows of 110 bytes, one client", Stream::Rows, &[]),
    stream("copyout", "COPY TO STDOUT of 10 MB, one client", Stream::CopyOut, &[RatioAtMost(Cpu, 1.03)]),
    stream("copyin", "COPY FROM STDIN of 10 MB, one client", Stream::CopyIn, &[RatioAtMost(Cpu, 1.03)]),
    Scenario {
        id: "login",
        title: "connect, SCRAM-SHA-256, SELECT 1, close; four clients",
        unit: "login",
        goals: &[RatioAtMost(Cpu, 1.1)],
        load: Load::Login,
    },
    Scenario {
        id: "idle",
        title: "idle clients that have each run one prepared query",
        unit: "client",
        goals: &[AtMost(Memory, 2.0)],
        load: Load::Idle,
    },
];

const fn pgbench(
    id: &'static str,
    title: &'static str,
    protocol: Protocol,
    clients: u32,
    goals: &'static [Goal],
) -> Scenario {
    Scenario { id, title, unit: "query", goals, load: Load::Pgbench(protocol, clients) }
}

const fn stream(id: &'static str, title: &'static str, load: Stream, goals: &'static [Goal]) -> Scenario {
    Scenario { id, title, unit: "MB", goals, load: Load::Stream(load) }
}

impl Scenario {
    /// Whether it is about this target.
    pub(crate) fn concerns(&self, target: Target) -> bool {
        match (self.load, target) {
            (Load::Split(..), target) => matches!(target, Target::Pgsteer(_) | Target::Split(_)),
            (_, target) => !matches!(target, Target::Split(_)),
        }
    }

    /// What the figures of its targets are compared with, in words.
    pub(crate) fn base(&self) -> String {
        match self.load {
            Load::Split(..) => "pgsteer that does not split".to_owned(),
            _ => Target::Pgbouncer.to_string(),
        }
    }

    /// Why this target has no part in this scenario, if it has none.
    pub(crate) fn excludes(&self, running: &Running) -> Option<String> {
        match self.load {
            Load::Pgbench(Protocol::Prepared, _) => running.cannot_prepare(),
            Load::Idle if !running.target.pools() => {
                Some("it opens a server connection for each client".to_owned())
            }
            Load::Idle => running.cannot_prepare(),
            _ => None,
        }
    }

    /// How many of the rounds it takes part in: memory does not scatter as time does.
    pub(crate) fn rounds(&self, asked: u32) -> u32 {
        if self.load == Load::Idle { asked.min(3) } else { asked }
    }

    /// One run against one target, for that many seconds.
    pub(crate) async fn run(
        &self,
        postgres: &Postgres,
        running: &Running,
        seconds: u32,
    ) -> Result<Measurement> {
        match self.load {
            Load::Pgbench(protocol, clients) | Load::Split(protocol, clients) => {
                pgbench::measure(postgres, running, protocol, clients, seconds).await
            }
            Load::Stream(stream) => own::stream(postgres, running, stream, seconds).await,
            Load::Login => own::logins(postgres, running, seconds).await,
            Load::Idle => own::idle(postgres, running.target).await,
        }
    }
}

impl FromStr for &'static Scenario {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let known = ALL.iter().find(|scenario| scenario.id == text);
        known.ok_or_else(|| format!("one of {}", ALL.map(|scenario| scenario.id).join(", ")))
    }
}
