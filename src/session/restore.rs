//! What gives a server the settings and the state of the client it is for.

use std::io;

use super::acquire::Request;
use crate::{
    server::{
        Told, ask,
        conn::{Hygiene, ServerConn},
    },
    wire::{
        error::ServerError,
        parameters::Parameters,
        state::{Carried, enter, leave},
    },
};

impl Request {
    /// Gives a server the client's settings and state. What keeps it from leaving another client's is no fault of this
    /// one: then everything is discarded first. What keeps it from entering this one's is this one's error.
    pub(super) async fn prepare(
        &self,
        conn: &mut ServerConn,
        check: bool,
    ) -> io::Result<Option<ServerError>> {
        let others = conn.state.get().is_some();
        let refused = self.enter(conn, check).await?;
        if refused.is_none() || !others {
            return Ok(refused);
        }
        let told = ask(&mut conn.stream, &[b"DISCARD ALL"]).await?;
        conn.note(&told.parameters);
        if told.refused.is_some() {
            return Ok(told.refused);
        }
        conn.discarded();
        self.enter(conn, false).await
    }

    async fn enter(&self, conn: &mut ServerConn, check: bool) -> io::Result<Option<ServerError>> {
        let script = script(conn, &self.parameters, &self.state);
        let told = match (script.is_empty(), check) {
            (true, false) => Told::default(),
            (true, true) => ask(&mut conn.stream, &[b""]).await?,
            (false, _) => ask(&mut conn.stream, &script).await?,
        };
        conn.note(&told.parameters);
        if told.refused.is_some() {
            conn.hygiene = Hygiene::Dirty;
            return Ok(told.refused);
        }
        if !conn.state.is_like(&self.state) {
            self.context.worker.counters.restores.add(u64::from(!script.is_empty()));
            conn.state = self.state.clone();
        }
        Ok(None)
    }
}

/// What takes a server from what it has to what a client must find, query by query: each is read by the encoding that
/// the one before has left. Empty: nothing.
fn script(conn: &ServerConn, parameters: &Parameters, state: &Carried) -> Vec<Vec<u8>> {
    let mut first = leave(&conn.state, state);
    let tracked = conn.parameters.difference_sql(parameters).unwrap_or_default();
    first.extend_from_slice(tracked.as_bytes());
    let mut queries = enter(&conn.state, state);
    if !first.is_empty() {
        queries.insert(0, first);
    }
    queries
}
