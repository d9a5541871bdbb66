//! Keys that are right one by one, but together, or with the kernel's limits, come to nothing or stop everything.

use std::time::Duration;

use super::{
    declare::{Reading, key_part},
    document::Keys,
    units::show_duration,
    words::{Consistency, PoolMode, RouteKind},
};

/// The kernel's bounds of TCP_KEEPIDLE and TCP_KEEPINTVL (`MAX_TCP_KEEPIDLE`), in seconds.
const KEEPALIVE_SECONDS_MAX: u64 = 32_767;
/// That of TCP_KEEPCNT (`MAX_TCP_KEEPCNT`).
const KEEPALIVE_PROBES_MAX: u32 = 127;
/// TCP_USER_TIMEOUT is a signed number of milliseconds.
const USER_TIMEOUT_MAX: Duration = Duration::from_millis(i32::MAX as u64);
/// What every client has for notifications in any case, in bytes.
const NOTIFY_BUFFER_LEAST: u64 = 256 * 1024;
/// More threads than any machine has cores.
const WORKERS_MAX: u32 = 1024;

/// Notes what makes no sense.
pub(super) fn check(keys: &Keys, reading: &mut Reading<'_>) {
    tcp(keys, reading);
    never_used(keys, reading);
    never_acts(keys, reading);
    without_effect(keys, reading);
    no_room(keys, reading);
    split_sessions(keys, reading);
    orders(keys, reading);
    if keys.runtime.workers > WORKERS_MAX {
        let what = format!("`workers`: {} is out of range: at most {WORKERS_MAX}", keys.runtime.workers);
        reading.error("runtime.workers", what, "leave it out for one for each core");
    }
}

/// What the kernel refuses it refuses of every connection.
fn tcp(keys: &Keys, reading: &mut Reading<'_>) {
    let pool = &keys.pool;
    for (name, value) in [("tcp_keepidle", pool.tcp_keepidle.0), ("tcp_keepintvl", pool.tcp_keepintvl.0)] {
        let Some(value) = value else { continue };
        let shown = show_duration(value);
        let path = format!("pool.{name}");
        if value.subsec_nanos() != 0 {
            reading.error(&path, format!("`{name}`: {shown} is not a whole number of seconds"), "");
        } else if value.as_secs() > KEEPALIVE_SECONDS_MAX {
            let what = format!("`{name}`: {shown} is out of range: at most {KEEPALIVE_SECONDS_MAX}s");
            reading.error(&path, what, "the kernel takes no more; 0 is the system's own");
        }
    }
    if let Some(probes) = pool.tcp_keepcnt.0.filter(|probes| probes.get() > KEEPALIVE_PROBES_MAX) {
        let what = format!("`tcp_keepcnt`: {probes} is out of range: at most {KEEPALIVE_PROBES_MAX}");
        reading.error("pool.tcp_keepcnt", what, "the kernel takes no more; 0 is the system's own");
    }
    if let Some(timeout) = pool.tcp_user_timeout.0 {
        let shown = show_duration(timeout);
        let path = "pool.tcp_user_timeout";
        if timeout.subsec_nanos() % 1_000_000 != 0 {
            let what = format!("`tcp_user_timeout`: {shown} is not a whole number of milliseconds");
            reading.error(path, what, "");
        } else if timeout > USER_TIMEOUT_MAX {
            let what = format!(
                "`tcp_user_timeout`: {shown} is out of range: at most {}",
                show_duration(USER_TIMEOUT_MAX)
            );
            reading.error(path, what, "the kernel takes no more; 0 is the system's own");
        }
    }
}

/// Keys that another one makes meaningless.
fn never_used(keys: &Keys, reading: &mut Reading<'_>) {
    let pool = &keys.pool;
    if pool.reserve_pool_timeout.0.is_none() && pool.reserve_pool_size > 0 {
        let what = "`reserve_pool_size` is set, but with reserve_pool_timeout = 0 the reserve is never used";
        reading.error("pool.reserve_pool_timeout", what, "give it a time, or remove reserve_pool_size");
    }
    if pool.max_prepared_statements.0.is_none()
        && pool.map_unnamed_statements
        && reading.is_written("pool.map_unnamed_statements")
    {
        let what = "`map_unnamed_statements` has no meaning with max_prepared_statements = 0: there is nothing to map to";
        reading.error("pool.map_unnamed_statements", what, "remove one of them");
    }
    if pool.commit_fate && pool.pool_mode == PoolMode::Statement {
        let what =
            "`commit_fate` has no meaning with pool_mode = \"statement\": there are no transaction blocks";
        reading.error("pool.commit_fate", what, "remove it");
    }
}

/// Keys that change nothing, since what they are about does not happen: whoever wrote them believes that it does.
fn without_effect(keys: &Keys, reading: &mut Reading<'_>) {
    let mut tell = |path: &str, why: &str, help: &str| {
        if reading.is_written(path) {
            let name = path.rsplit('.').next().unwrap_or(path);
            reading.warning(path, format!("`{name}` has no effect: {why}"), help);
        }
    };
    let (databases, users) = (keys.databases.values(), keys.users.values());
    let of_each = |key: &str| {
        let databases = keys.databases.keys().map(|name| format!("databases.{}.{key}", key_part(name)));
        let users = keys.users.keys().map(|name| format!("users.{}.{key}", key_part(name)));
        databases.chain(users).collect::<Vec<_>>()
    };
    if !keys.listen.iter().any(|listen| listen.route == RouteKind::Split) {
        let why = "no [[listen]] has route = \"split\"";
        of_each("split_route")
            .iter()
            .for_each(|path| tell(path, why, "write such a [[listen]], or remove it"));
    }
    if keys.listen.iter().all(|listen| listen.route == RouteKind::Write) {
        let why = "no [[listen]] has route = \"read\" or \"split\"";
        let clusters = keys.clusters.keys().map(|name| format!("clusters.{}.replicas", key_part(name)));
        let help = "write such a [[listen]], or remove it";
        clusters.chain(["replicas".to_owned()]).for_each(|path| tell(&path, why, help));
    }
    let pool = &keys.pool;
    let promises = [pool.consistency]
        .into_iter()
        .chain(keys.listen.iter().filter_map(|listen| listen.consistency))
        .chain(databases.clone().filter_map(|database| database.consistency))
        .chain(users.clone().filter_map(|user| user.consistency))
        .any(|consistency| consistency != Consistency::Eventual);
    if !promises {
        let (why, help) = ("consistency is \"eventual\" for everybody", "set consistency, or remove it");
        tell("pool.consistency_wait", why, help);
        of_each("consistency_wait").iter().for_each(|path| tell(path, why, help));
    }
    let mut own = databases.filter_map(|d| d.commit_fate).chain(users.filter_map(|u| u.commit_fate));
    if !pool.commit_fate && !own.any(|asked| asked) {
        let help = "set commit_fate = true, or remove it";
        tell("pool.commit_fate_wait", "commit_fate is off for everybody", help);
    }
    if pool.warm_candidates == 0 {
        let help = "set warm_candidates, or remove it";
        tell("pool.warm_connections_max", "warm_candidates is 0", help);
    }
}

/// Time limits behind another one.
fn never_acts(keys: &Keys, reading: &mut Reading<'_>) {
    let pool = &keys.pool;
    let pairs = [
        ("pool.query_timeout", pool.query_timeout.0, "transaction_timeout", pool.transaction_timeout.0),
        (
            "pool.idle_transaction_timeout",
            pool.idle_transaction_timeout.0,
            "transaction_timeout",
            pool.transaction_timeout.0,
        ),
        (
            "auth.auth_delay_max",
            Some(keys.auth.auth_delay_max),
            "client_login_timeout",
            Some(pool.client_login_timeout),
        ),
        (
            "auth.auth_query_timeout",
            Some(keys.auth.auth_query_timeout),
            "client_login_timeout",
            Some(pool.client_login_timeout),
        ),
    ];
    for (path, one, other, before) in pairs {
        if let (Some(one), Some(before)) = (one, before)
            && one >= before
            && reading.is_written(path)
        {
            let name = path.rsplit('.').next().unwrap_or(path);
            let what = format!("`{name}` never acts: {other} ({}) comes first", show_duration(before));
            reading.warning(path, what, "make it shorter, or 0 where that means off");
        }
    }
}

/// A pool can keep no more servers than a limit allows, and whoever listens has some room in any case.
fn no_room(keys: &Keys, reading: &mut Reading<'_>) {
    let pool = &keys.pool;
    if pool.notify_buffer_max.0 < NOTIFY_BUFFER_LEAST {
        let what = "`notify_buffer_max`: less than 256kB";
        reading.error("pool.notify_buffer_max", what, "every client that listens has as much in any case");
    }
    let all = ("pool".to_owned(), pool.min_pool_size, pool.max_db_connections, true);
    let databases = keys.databases.iter().map(|(name, own)| {
        let path = format!("databases.{}", key_part(name));
        let says = own.min_pool_size.is_some() || own.max_db_connections.is_some();
        let least = own.min_pool_size.unwrap_or(pool.min_pool_size);
        (path, least, own.max_db_connections.unwrap_or(pool.max_db_connections), says)
    });
    for (path, least, most, says) in std::iter::once(all).chain(databases) {
        let limits = [("max_db_connections", most), ("max_member_connections", pool.max_member_connections)];
        let mut limits = limits.into_iter().filter_map(|(name, limit)| Some((name, limit.0?.get())));
        if let Some((name, limit)) = limits.find(|(_, limit)| says && *limit < least) {
            let what = format!("min_pool_size ({least}) is larger than {name} ({limit})");
            reading.error(&format!("{path}.min_pool_size"), what, "");
        }
    }
}

/// A listener that splits, for clients that keep one server for good.
fn split_sessions(keys: &Keys, reading: &mut Reading<'_>) {
    if keys.pool.pool_mode != PoolMode::Session {
        return;
    }
    for (index, listen) in keys.listen.iter().enumerate() {
        if listen.route == RouteKind::Split && listen.pool_mode.is_none() {
            let what = "`route = \"split\"` splits nothing with `pool_mode = \"session\"` in [pool]";
            let help = "set pool_mode = \"transaction\" for this listener, or use route = \"write\"";
            reading.warning(&format!("listen.{index}.route"), what, help);
        }
    }
}

/// Orders can be given only where something is served, and their token is sent in the clear.
fn orders(keys: &Keys, reading: &mut Reading<'_>) {
    let http = &keys.http;
    if http.token.is_none() && http.token_file.is_none() {
        return;
    }
    match http.address.0 {
        None => {
            let help = "set address, or remove the token";
            reading.error("http.address", "`token` is set, but nothing is served over HTTP", help);
        }
        Some(address) if !address.ip().is_loopback() => {
            let what = format!("the token is sent in the clear, and {address} can be reached from elsewhere");
            let help = "listen on 127.0.0.1, or have something that speaks TLS in front of it";
            reading.warning("http.address", what, help);
        }
        Some(_) => {}
    }
}
