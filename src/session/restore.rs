//! What gives a server the settings and the state of the client it is for.

use std::io;

use super::acquire::Request;
use crate::{
    server::{
        Questions, ask, ask_all,
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
        let Script { mut questions, mut moves } = Script::new(conn, &self.parameters, &self.state);
        let restores = questions.count() > 0;
        if check && !restores {
            questions.query(b"");
        }
        while questions.count() > 0 {
            let told = ask_all(&mut conn.stream, &questions).await?;
            conn.note(&told.parameters);
            let refused = told.refused.iter().find(|(query, _)| !moves.have_asked(*query));
            let error = refused.map(|(_, error)| error.clone()).or_else(|| moves.hear(&told).err());
            if error.is_some() {
                conn.hygiene = Hygiene::Dirty;
                return Ok(error);
            }
            questions = moves.questions();
        }
        if !conn.state.is_like(&self.state) {
            self.context.worker.counters.restores.add(u64::from(restores));
            conn.state = self.state.with_substitutes(moves.substitutes());
        }
        Ok(None)
    }
}

/// What takes a server from what it has to what a client must find, query by query: each is read by the encoding that
/// the one before has left.
struct Script {
    questions: Questions,
    moves: Moves,
}

impl Script {
    fn new(conn: &ServerConn, parameters: &Parameters, state: &Carried) -> Self {
        let mut first = leave(&conn.state, state);
        let tracked = conn.difference_sql(parameters).unwrap_or_default();
        first.extend_from_slice(tracked.as_bytes());
        let Entry { settings, statements, last } = enter(&conn.state, state);
        let mut questions: Questions =
            [first, settings].into_iter().filter(|query| !query.is_empty()).collect();
        let mut moves = Moves::new(statements);
        moves.put(&mut questions);
        if !last.is_empty() {
            questions.query(&last);
        }
        Self { questions, moves }
    }
}

mod moves;

use moves::Moves;
