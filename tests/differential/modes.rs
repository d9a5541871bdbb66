//! The modes of pooling, and what is played in each.

use std::net::SocketAddr;

use pgsteer_testkit::{Door, Proxy, Release, Result, Sandbox, Server, Single};

use crate::play::Way;

/// When a server goes back to its pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Transaction,
    /// The server that a session gets is one that others have used in transaction mode.
    Session,
    /// Scripts are played without their blocks.
    Statement,
}

impl Mode {
    const ALL: [Self; 3] = [Self::Transaction, Self::Session, Self::Statement];

    /// Its name in the configuration.
    const fn word(self) -> &'static str {
        match self {
            Self::Transaction => "transaction",
            Self::Session => "session",
            Self::Statement => "statement",
        }
    }
}

/// What is played in which mode.
pub(crate) type Plays = [(Mode, &'static [Way]); 3];

/// All ways in the mode in which servers change; in the others the one that asks most of them.
pub(crate) const MAINLY: Plays =
    [(Mode::Transaction, &Way::ALL), (Mode::Session, &[Way::Named]), (Mode::Statement, &[Way::Named])];

/// The other ways in those others.
pub(crate) const BESIDES: Plays = [
    (Mode::Transaction, &[]),
    (Mode::Session, &[Way::Simple, Way::Unnamed, Way::UnnamedApart, Way::Pipelined]),
    (Mode::Statement, &[Way::Simple, Way::Pipelined]),
];

/// A server, and a pgsteer with a listener for each mode.
pub(crate) struct Ground {
    pub(crate) single: Single,
    addresses: [SocketAddr; Mode::ALL.len()],
}

impl Ground {
    /// With fewer servers than the sessions of the larger scripts could hold, for all modes together, and another one
    /// after each transaction.
    pub(crate) async fn start(release: Release) -> Result<Self> {
        let sandbox = Sandbox::new()?;
        let server = Server::start(&sandbox, release, Door::Open, "").await?;
        let addresses = [sandbox.address(2, 6432)?, sandbox.address(2, 6433)?, sandbox.address(2, 6434)?];
        let mut overrides = r#"
            [auth]
            auth_type = "trust"
            [pool]
            default_pool_size = 6
            rotate_servers = true
            [log]
            connections = false
        "#
        .to_owned();
        for (mode, address) in Mode::ALL.iter().zip(addresses) {
            let word = mode.word();
            overrides +=
                &format!("[[listen]]\naddress = \"{address}\"\nroute = \"write\"\npool_mode = \"{word}\"\n");
        }
        let proxy = Proxy::before(&sandbox, &server, &overrides).await?;
        Ok(Self { single: Single { proxy, server, sandbox }, addresses })
    }

    /// Where pgsteer listens in this mode.
    pub(crate) const fn address(&self, mode: Mode) -> SocketAddr {
        let [transaction, session, statement] = self.addresses;
        match mode {
            Mode::Transaction => transaction,
            Mode::Session => session,
            Mode::Statement => statement,
        }
    }
}
