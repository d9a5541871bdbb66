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
        state::{Carried, Entry, enter, leave},
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
        if let Some((_, error)) = told.refused.into_iter().next() {
            return Ok(Some(error));
        }
        conn.discarded();
        self.enter(conn, false).await
    }

    /// The same for a server that may know what others have drawn from sequences: it forgets that first.
    pub(super) async fn prepare_anew(
        &self,
        conn: &mut ServerConn,
        check: bool,
    ) -> io::Result<Option<ServerError>> {
        let told = ask(&mut conn.stream, &[b"DISCARD SEQUENCES"]).await?;
        match told.refused.into_iter().next() {
            Some((_, error)) => Ok(Some(error)),
            None => self.prepare(conn, check).await,
        }
    }

    async fn enter(&self, conn: &mut ServerConn, check: bool) -> io::Result<Option<ServerError>> {
        let script = Script::new(conn, &self.parameters, &self.state);
        let told = match (script.queries.is_empty(), check) {
            (true, false) => Told::default(),
            (true, true) => ask(&mut conn.stream, &[b""]).await?,
            (false, _) => ask(&mut conn.stream, &script.queries).await?,
        };
        conn.note(&told.parameters);
        let mut gone = Vec::new();
        for (query, error) in told.refused {
            match script.prepares(query) {
                Some(name) if !is_passing(&error) => gone.push(name),
                _ => {
                    conn.hygiene = Hygiene::Dirty;
                    return Ok(Some(error));
                }
            }
        }
        if !conn.state.is_like(&self.state) {
            self.context.worker.counters.restores.add(u64::from(!script.queries.is_empty()));
            conn.state = self.state.without_statements(&gone);
        }
        Ok(None)
    }
}

/// Whether what was refused now may be granted later: it does not lie in the statement (class 42).
fn is_passing(error: &ServerError) -> bool {
    !error.code.as_str().starts_with("42")
}

/// What takes a server from what it has to what a client must find, query by query: each is read by the encoding that
/// the one before has left.
struct Script {
    queries: Vec<Vec<u8>>,
    /// The statements that are prepared by SQL, and from which query on.
    names: Vec<Box<[u8]>>,
    names_from: usize,
}

impl Script {
    fn new(conn: &ServerConn, parameters: &Parameters, state: &Carried) -> Self {
        let mut first = leave(&conn.state, state);
        let tracked = conn.difference_sql(parameters).unwrap_or_default();
        first.extend_from_slice(tracked.as_bytes());
        let Entry { settings, statements, last } = enter(&conn.state, state);
        let mut queries: Vec<_> = [first, settings].into_iter().filter(|query| !query.is_empty()).collect();
        let names_from = queries.len();
        let (names, texts): (Vec<_>, Vec<_>) = statements.into_iter().unzip();
        queries.extend(texts);
        queries.extend((!last.is_empty()).then_some(last));
        Self { queries, names, names_from }
    }

    /// The statement that is prepared by a query.
    fn prepares(&self, query: usize) -> Option<&[u8]> {
        self.names.get(query.checked_sub(self.names_from)?).map(|name| &**name)
    }
}
