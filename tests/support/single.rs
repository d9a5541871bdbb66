//! One PostgreSQL and a pgsteer in front of it.

use std::net::SocketAddr;

use crate::{Door, Proxy, Release, Result, Sandbox, Server};

/// What scenarios need that are about sessions, not about failover.
#[derive(Debug)]
pub struct Single {
    /// pgsteer, ready. First, so that it ends first.
    pub proxy: Proxy,
    /// The server.
    pub server: Server,
    /// Where both live.
    pub sandbox: Sandbox,
}

impl Single {
    /// Starts a server, and a pgsteer with some keys of its configuration changed, as TOML.
    ///
    /// # Errors
    /// One of them does not start.
    pub async fn start(release: Release, door: Door, settings: &str, overrides: &str) -> Result<Self> {
        let sandbox = Sandbox::new()?;
        let server = Server::start(&sandbox, release, door, settings).await?;
        let proxy = Proxy::before(&sandbox, &server, overrides).await?;
        Ok(Self { proxy, server, sandbox })
    }

    /// The addresses to try something at: the server itself, then pgsteer. What fails at the first is no fault of the
    /// second's.
    pub const fn both(&self) -> [(&'static str, SocketAddr); 2] {
        [("directly", self.server.address), ("through pgsteer", self.proxy.write)]
    }
}
