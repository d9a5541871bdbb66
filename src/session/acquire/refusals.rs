//! Why a request gets no server, in words for its client.

use super::{Flavour, NoRouteKind, NoWay, Patience, PgError, SqlState, Way};

pub(super) fn no_route(no_way: &NoWay) -> PgError {
    let message = match (no_way.why.kind, no_way.patience) {
        (NoRouteKind::StandbyCluster, _) => "cannot write: this is a standby cluster",
        (_, Patience::ForLeader) => "cannot write now: no leader could be used in time",
        (_, Patience::ForReplica | Patience::ForRegrouping | Patience::ToCatchUp | Patience::None) => {
            "cannot read now: no replica qualifies"
        }
    };
    PgError::error(no_way.why.kind.sqlstate(), message).detail(no_way.why.sentence.clone())
}

/// Why a request was not served in time, as its pool sees it.
pub(in crate::session) fn query_wait_timeout(way: &Way, flavour: Flavour) -> PgError {
    let member = way.pool.member();
    match way.pool.last_trouble(flavour) {
        Some(trouble) => {
            PgError::error(trouble.code, "no server connection could be had in time (query_wait_timeout)")
                .detail(format!("The last attempt to open one on {member} failed: {}", trouble.message))
        }
        None => PgError::error(
            SqlState::TOO_MANY_CONNECTIONS,
            "no server connection became free in time (query_wait_timeout)",
        )
        .detail(format!("All connections that this user and database may have on {member} are in use."))
        .hint(
            "Shorten transactions, or raise default_pool_size (pool_size of the database or user), or whichever of \
             max_db_connections, max_user_connections and max_member_connections is reached.",
        ),
    }
}
