//! Checks between keys, and the listeners and users that come of them.

use std::path::PathBuf;

use super::{
    auth_file::{AuthFile, SecretKind},
    declare::{Reading, key_part, shown_name},
    document::Keys,
    error::Finding,
    keys::ListenKeys,
    listen_address::ListenAddress,
    nearest::nearest,
    own_reads::OwnReads,
    secret::Secret,
    secret_file::{Readers, read_secret},
    settings::Listener,
    words::{Consistency, PoolMode, ProxyProtocol, RouteKind},
};

/// Characters of a token for orders at least.
const TOKEN_MIN: usize = 16;

/// Puts the content of `…_file` into the secrets beside them.
pub(super) fn read_secrets(keys: &mut Keys, reading: &mut Reading<'_>) {
    for (name, cluster) in &mut keys.clusters {
        let path = format!("clusters.{}", key_part(name));
        let store = (&mut cluster.store_password, &cluster.store_password_file);
        one_secret(&path, "store_password", store, reading);
        let probe = (&mut cluster.probe_password, &cluster.probe_password_file);
        one_secret(&path, "probe_password", probe, reading);
        let patroni = (&mut cluster.patroni_password, &cluster.patroni_password_file);
        one_secret(&path, "patroni_password", patroni, reading);
    }
    for (name, database) in &mut keys.databases {
        let path = format!("databases.{}", key_part(name));
        one_secret(&path, "password", (&mut database.password, &database.password_file), reading);
        let asking = (&mut database.auth_password, &database.auth_password_file);
        one_secret(&path, "auth_password", asking, reading);
    }
    one_secret("http", "token", (&mut keys.http.token, &keys.http.token_file), reading);
    if keys.http.token.as_ref().is_some_and(|token| token.expose().len() < TOKEN_MIN) {
        let help = "make one: openssl rand -hex 24";
        reading.error("http", format!("`token` has fewer than {TOKEN_MIN} characters"), help);
    }
    let asking = (&mut keys.auth.auth_password, &keys.auth.auth_password_file);
    one_secret("auth", "auth_password", asking, reading);
}

fn one_secret(
    table: &str,
    key: &str,
    (secret, file): (&mut Option<Secret>, &Option<PathBuf>),
    reading: &mut Reading<'_>,
) {
    if let Some(secret) = secret.as_ref() {
        let text = secret.expose();
        let path = format!("{table}.{key}");
        if text.starts_with("${") && text.ends_with('}') {
            let place = reading.key_place(&path);
            let what = format!("`{key}` is taken as it stands, `${{` and all");
            let help = format!("for an environment variable write {key} = {{ env = \"NAME\" }}");
            reading.findings.push(Finding::warning(place, what).help(help));
        }
    }
    let Some(file) = file else { return };
    let path = format!("{table}.{key}_file");
    if secret.is_some() {
        return reading.error(&path, format!("both `{key}` and `{key}_file` are set"), "keep one of them");
    }
    match read_secret(file) {
        Ok((read, readers)) => {
            if readers == Readers::Everybody {
                let help = format!("chmod o-r {}", file.display());
                reading.warning(&path, "everybody may read this file of a secret", help);
            }
            *secret = Some(read);
        }
        Err(why) => reading.error(&path, format!("`{key}_file`: cannot read {}: {why}", file.display()), ""),
    }
}

/// The listeners, each with its cluster.
pub(super) fn listeners(keys: &Keys, reading: &mut Reading<'_>) -> Vec<Listener> {
    if keys.listen.is_empty() {
        let help = "add [[listen]] with address = \"127.0.0.1:6432\" and route = \"write\"";
        reading.missing("listen", "no address to listen on is configured", help);
    }
    let mut taken: Vec<_> =
        keys.http.address.0.into_iter().map(|address| (ListenAddress::Tcp(address), "[http]")).collect();
    let mut listeners = Vec::new();
    for (index, listen) in keys.listen.iter().enumerate() {
        let path = format!("listen.{index}");
        if let Some((_, by)) = taken.iter().find(|(address, _)| address.is_taken_by(&listen.address)) {
            reading.error(
                &format!("{path}.address"),
                format!("{} is already used by {by}", listen.address),
                "",
            );
        }
        taken.push((listen.address.clone(), "another [[listen]]"));
        if reading.is_written(&format!("{path}.unix_socket_mode"))
            && !matches!(&listen.address, ListenAddress::Unix { .. } if !listen.address.is_abstract())
        {
            let what = format!("`unix_socket_mode` has no meaning for {}", listen.address);
            reading.error(&format!("{path}.unix_socket_mode"), what, "only a socket in a folder has a file");
        }
        conveyed(&path, listen, reading);
        splits_nothing(&path, listen, reading);
        let cluster = match &listen.cluster {
            Some(name) => known_cluster(&format!("{path}.cluster"), name, keys, reading),
            None if keys.clusters.len() > 1 => {
                let names: Vec<_> = keys.clusters.keys().map(String::as_str).collect();
                let help = format!("add `cluster = …`, one of {}", names.join(", "));
                reading.missing(
                    &format!("{path}.cluster"),
                    "this listener does not say which cluster it is for",
                    help,
                );
                None
            }
            None => keys.clusters.keys().next().cloned(),
        };
        if let Some(cluster) = cluster {
            let backlog = listen.backlog.get();
            listeners.push(Listener {
                address: listen.address.clone(),
                socket_mode: listen.unix_socket_mode,
                proxy_protocol: listen.proxy_protocol,
                proxy_protocol_from: listen.proxy_protocol_from.clone(),
                route: listen.route,
                cluster,
                pool_mode: listen.pool_mode,
                consistency: listen.consistency,
                backlog,
                reads: OwnReads::of_listener(listen),
            });
        }
    }
    sees_not_all(keys, &listeners, reading);
    listeners
}

/// Who is told of a commit without a word to others cannot be seen by them in time.
fn sees_not_all(keys: &Keys, listeners: &[Listener], reading: &mut Reading<'_>) {
    let is_global = |consistency: Option<Consistency>| {
        consistency.unwrap_or(keys.pool.consistency) == Consistency::Global
    };
    if listeners.iter().all(|listener| is_global(listener.consistency)) {
        return;
    }
    let fix = match keys.pool.consistency {
        Consistency::Global => "leave `consistency` out at the others",
        Consistency::Eventual | Consistency::Session => "set it in [pool]",
    };
    for (index, listen) in keys.listen.iter().enumerate() {
        if listen.route != RouteKind::Write && is_global(listen.consistency) {
            let what = "reads here see what clients of listeners with `consistency = \"global\"` are told, and not all listeners have it";
            reading.warning(&format!("listen.{index}.consistency"), what, fix);
        }
    }
}

/// A client that keeps its server for good cannot have two.
fn splits_nothing(path: &str, listen: &ListenKeys, reading: &mut Reading<'_>) {
    if listen.route == RouteKind::Split && listen.pool_mode == Some(PoolMode::Session) {
        let help = "use pool_mode = \"transaction\", or route = \"write\"";
        reading.error(
            &format!("{path}.pool_mode"),
            "`route = \"split\"` splits nothing with `pool_mode = \"session\"`",
            help,
        );
    }
}

/// Who may say which client he forwards.
fn conveyed(path: &str, listen: &ListenKeys, reading: &mut Reading<'_>) {
    let key = format!("{path}.proxy_protocol_from");
    let local = matches!(listen.address, ListenAddress::Unix { .. });
    match (listen.proxy_protocol, local, listen.proxy_protocol_from.is_empty()) {
        (ProxyProtocol::Off, _, false) => {
            let help = "add proxy_protocol = \"required\", or remove it";
            reading.error(&key, "`proxy_protocol_from` is set without `proxy_protocol`", help);
        }
        (ProxyProtocol::Optional | ProxyProtocol::Required, false, true) => {
            let help = "add the addresses of the proxies: proxy_protocol_from = [\"10.0.0.5\"]";
            reading.missing(&key, "`proxy_protocol` is set without `proxy_protocol_from`", help);
        }
        (ProxyProtocol::Optional | ProxyProtocol::Required, true, false) => {
            let what = format!("`proxy_protocol_from` has no meaning for {}", listen.address);
            reading.error(&key, what, "who may connect to the socket is believed: see unix_socket_mode");
        }
        _ => {}
    }
}

fn known_cluster(path: &str, name: &str, keys: &Keys, reading: &mut Reading<'_>) -> Option<String> {
    if keys.clusters.contains_key(name) {
        return Some(name.to_owned());
    }
    let names: Vec<_> = keys.clusters.keys().map(String::as_str).collect();
    let help = match nearest(name, names.iter().copied()) {
        Some(meant) => format!("did you mean \"{meant}\"?"),
        None => format!("known clusters: {}", names.join(", ")),
    };
    reading.error(path, format!("there is no cluster {}", shown_name(name)), help);
    None
}

/// What databases and users override.
pub(super) fn overrides(keys: &Keys, users: &AuthFile, reading: &mut Reading<'_>) {
    if keys.pool.min_pool_size > keys.pool.default_pool_size.get() {
        let what =
            format!("min_pool_size is larger than default_pool_size ({})", keys.pool.default_pool_size);
        reading.error("pool.min_pool_size", what, "");
    }
    for (name, database) in &keys.databases {
        let path = format!("databases.{}", key_part(name));
        if let Some(cluster) = &database.cluster {
            known_cluster(&format!("{path}.cluster"), cluster, keys, reading);
        }
        let size = database.pool_size.unwrap_or(keys.pool.default_pool_size);
        if database.min_pool_size.is_some_and(|least| least > size.get()) {
            let what = format!("min_pool_size is larger than the pool ({size})");
            reading.error(&format!("{path}.min_pool_size"), what, "");
        }
        match &database.user {
            Some(user) if database.password.is_none() && users.get(user).is_none() => {
                let help =
                    "add `password`, or the user to the auth_file, unless the servers let it in without";
                reading.warning(
                    &format!("{path}.user"),
                    format!("there is no password for the user {user:?}"),
                    help,
                );
            }
            Some(user)
                if database.password.is_none()
                    && users.get(user).is_some_and(|secret| SecretKind::of(secret) == SecretKind::Scram) =>
            {
                let what = format!(
                    "the auth_file has only a SCRAM verifier for {user:?}: nobody else can log in with it"
                );
                reading.error(
                    &format!("{path}.user"),
                    what,
                    "add `password`, or list a plain password for this user",
                );
            }
            None if database.password.is_some() => {
                reading.missing(
                    &format!("{path}.user"),
                    "`password` is set without `user`",
                    "add the user it belongs to",
                );
            }
            _ => {}
        }
    }
    if keys.pool.query_wait_timeout.0.is_none() {
        reading.warning("pool.query_wait_timeout", "requests wait for a server without limit", "");
    }
}

/// Clusters that nothing leads to.
pub(super) fn unused_clusters(keys: &Keys, listeners: &[Listener], reading: &mut Reading<'_>) {
    for name in keys.clusters.keys() {
        let used = listeners.iter().any(|listener| listener.cluster == *name)
            || keys.databases.values().any(|database| database.cluster.as_ref() == Some(name));
        if !used {
            let path = format!("clusters.{}", key_part(name));
            let help = "name it in a [[listen]] or in [databases.NAME]";
            let place = reading.key_place(&path);
            let what = format!("nothing leads to the cluster {}", shown_name(name));
            reading.findings.push(Finding::warning(place, what).help(help));
        }
    }
}
