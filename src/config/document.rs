//! From the text of a file to its keys. Only what a single value can say is checked here; what keys say of each
//! other is checked afterwards.

use std::collections::BTreeMap;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    auth_keys::AuthKeys,
    cluster_keys::{ClusterKeys, Replicas},
    declare::{Entry, Fields, Reading, Section, key_part},
    error::{Finding, Place},
    keys::{DatabaseKeys, Http, ListenKeys, Log, Pool, Runtime, UserKeys},
    tls_keys::{ClientTls, ServerTls, overrides},
};

/// How many syntax errors are told: the later ones are mostly echoes of the first.
const SYNTAX_ERRORS_MAX: usize = 3;
/// No name of a cluster, database or user is longer, in bytes. PostgreSQL's own limit is 63 unless it was built otherwise.
const NAME_MAX: usize = 127;

const TABLES: [&str; 12] = [
    "clusters",
    "replicas",
    "listen",
    "client_tls",
    "server_tls",
    "pool",
    "databases",
    "users",
    "auth",
    "http",
    "log",
    "runtime",
];

/// Everything a configuration says, each key with its value or default.
#[derive(Clone, Debug, PartialEq)]
pub struct Keys {
    /// `[clusters.NAME]`.
    pub clusters: BTreeMap<String, ClusterKeys>,
    /// `[clusters.NAME.replicas]`, filled up from `[replicas]`; one for each cluster.
    pub cluster_replicas: BTreeMap<String, Replicas>,
    /// `[replicas]`.
    pub replicas: Replicas,
    /// `[[listen]]`, in the order of the file.
    pub listen: Vec<ListenKeys>,
    /// `[client_tls]`.
    pub client_tls: ClientTls,
    /// `[listen.client_tls]`, filled up from `[client_tls]`; one for each listener.
    pub listen_tls: Vec<ClientTls>,
    /// `[server_tls]`.
    pub server_tls: ServerTls,
    /// `[clusters.NAME.server_tls]`, filled up from `[server_tls]`; for those that have it.
    pub cluster_tls: BTreeMap<String, ServerTls>,
    /// `[databases.NAME.server_tls]`, filled up from its cluster's where it names one, else from `[server_tls]`; for
    /// those that have it.
    pub database_tls: BTreeMap<String, ServerTls>,
    /// `[pool]`.
    pub pool: Pool,
    /// `[databases.NAME]`.
    pub databases: BTreeMap<String, DatabaseKeys>,
    /// `[users.NAME]`.
    pub users: BTreeMap<String, UserKeys>,
    /// `[auth]`.
    pub auth: AuthKeys,
    /// `[http]`.
    pub http: Http,
    /// `[log]`.
    pub log: Log,
    /// `[runtime]`.
    pub runtime: Runtime,
}

impl Keys {
    /// Reads a file's text. What is wrong is noted in `reading`; `None` if there is too little to go on with.
    pub(super) fn read(text: &str, reading: &mut Reading<'_>) -> Option<Self> {
        let (document, errors) = DeTable::parse_recoverable(text);
        for error in errors.iter().take(SYNTAX_ERRORS_MAX) {
            let at = error.span().unwrap_or(0..0);
            let place = Place::Excerpt { source: reading.source.clone(), at };
            reading.findings.push(Finding::error(place, format!("not valid TOML: {}", error.message())));
        }
        if !errors.is_empty() {
            return None;
        }
        let root = document.get_ref();
        refuse_unknown_tables(root, reading);
        let replicas = one::<Replicas>(root, "replicas", reading);
        let (clusters, cluster_replicas) = clusters(root, replicas.as_ref(), reading);
        let client_tls = one(root, "client_tls", reading);
        let (listen, listen_tls) = listeners(root, client_tls.as_ref(), reading).unzip();
        let pool = one(root, "pool", reading);
        let databases: Option<BTreeMap<String, DatabaseKeys>> =
            named(root, "databases", &["server_tls"], reading);
        let server_tls = one(root, "server_tls", reading);
        let (cluster_tls, database_tls) =
            overrides(root, server_tls.as_ref(), databases.as_ref(), reading).unzip();
        let users = named(root, "users", &[], reading);
        let auth = one(root, "auth", reading);
        let http = one(root, "http", reading);
        let log = one(root, "log", reading);
        let runtime = one(root, "runtime", reading);
        Some(Self {
            clusters: clusters?,
            cluster_replicas: cluster_replicas?,
            replicas: replicas?,
            listen: listen?,
            client_tls: client_tls?,
            listen_tls: listen_tls?,
            server_tls: server_tls?,
            cluster_tls: cluster_tls?,
            database_tls: database_tls?,
            pool: pool?,
            databases: databases?,
            users: users?,
            auth: auth?,
            http: http?,
            log: log?,
            runtime: runtime?,
        })
    }

    /// Every key with its value, under a path that does not depend on the order of the file.
    pub(super) fn entries(&self) -> Vec<Entry> {
        let mut all = Vec::new();
        for (name, cluster) in &self.clusters {
            let path = format!("clusters.{}", key_part(name));
            all.extend(cluster.entries(&path));
            let own = self.cluster_replicas.get(name).filter(|own| **own != self.replicas);
            all.extend(own.into_iter().flat_map(|own| own.entries(&format!("{path}.replicas"))));
            let own = self.cluster_tls.get(name);
            all.extend(own.into_iter().flat_map(|own| own.entries(&format!("{path}.server_tls"))));
        }
        all.extend(self.replicas.entries("replicas"));
        for (listen, tls) in self.listen.iter().zip(&self.listen_tls) {
            let path = format!("listen.{}", key_part(&listen.address.to_string()));
            all.extend(listen.entries(&path));
            let own = Some(tls).filter(|own| **own != self.client_tls);
            all.extend(own.into_iter().flat_map(|own| own.entries(&format!("{path}.client_tls"))));
        }
        all.extend(self.client_tls.entries("client_tls"));
        all.extend(self.server_tls.entries("server_tls"));
        all.extend(self.pool.entries("pool"));
        for (name, database) in &self.databases {
            let path = format!("databases.{}", key_part(name));
            all.extend(database.entries(&path));
            let own = self.database_tls.get(name);
            all.extend(own.into_iter().flat_map(|own| own.entries(&format!("{path}.server_tls"))));
        }
        for (name, user) in &self.users {
            all.extend(user.entries(&format!("users.{}", key_part(name))));
        }
        all.extend(self.auth.entries("auth"));
        all.extend(self.http.entries("http"));
        all.extend(self.log.entries("log"));
        all.extend(self.runtime.entries("runtime"));
        all
    }
}

fn refuse_unknown_tables(root: &DeTable<'_>, reading: &mut Reading<'_>) {
    for (name, value) in root {
        let text = &**name.get_ref();
        reading.mark(text.to_owned(), name.span(), value.span());
        if !TABLES.contains(&text) {
            reading.unknown("", name, "the file", &TABLES);
        }
    }
}

/// A table that there is at most once; without it, every key has its default.
fn one<S: Section>(root: &DeTable<'_>, name: &str, reading: &mut Reading<'_>) -> Option<S> {
    let table = match root.get(name) {
        Some(value) => Some(as_table(value, name, S::HEADER, reading)?),
        None => None,
    };
    S::read(&mut Fields::new(reading, name, S::HEADER, table), None)
}

/// A table of named tables of one kind; `inside` are tables in them that are read elsewhere.
fn named<S: Section>(
    root: &DeTable<'_>,
    name: &str,
    inside: &[&'static str],
    reading: &mut Reading<'_>,
) -> Option<BTreeMap<String, S>> {
    let tables = named_tables(root, name, S::HEADER, reading)?;
    let read = |(path, own, table): (String, String, _)| {
        let header = format!("[{path}]");
        Some((own, S::read(&mut Fields::new(reading, &path, &header, Some(table)).also(inside), None)))
    };
    let read: Vec<_> = tables.into_iter().filter_map(read).collect();
    read.into_iter().map(|(name, section)| Some((name, section?))).collect()
}

type Clusters = (Option<BTreeMap<String, ClusterKeys>>, Option<BTreeMap<String, Replicas>>);

/// The clusters, each with its own rules for replicas, which start from the general ones.
fn clusters(root: &DeTable<'_>, general: Option<&Replicas>, reading: &mut Reading<'_>) -> Clusters {
    let Some(tables) = named_tables(root, "clusters", ClusterKeys::HEADER, reading) else {
        return (None, None);
    };
    let (mut clusters, mut all_replicas) = (Some(BTreeMap::new()), Some(BTreeMap::new()));
    for (path, name, table) in tables {
        let header = format!("[{path}]");
        let mut fields = Fields::new(reading, &path, &header, Some(table)).also(&["replicas", "server_tls"]);
        let cluster = ClusterKeys::read(&mut fields, None);
        let replicas = match table.get("replicas") {
            Some(value) => inner(value, &path, "replicas", general, reading),
            None => general.cloned(),
        };
        put(&mut clusters, &name, cluster);
        put(&mut all_replicas, &name, replicas);
    }
    (clusters, all_replicas)
}

/// A table inside another, filled up from `base`.
pub(super) fn inner<S: Section>(
    value: &Spanned<DeValue<'_>>,
    around: &str,
    name: &str,
    base: Option<&S>,
    reading: &mut Reading<'_>,
) -> Option<S> {
    let path = format!("{around}.{name}");
    let header = format!("[{path}]");
    let table = as_table(value, name, &header, reading)?;
    reading.mark(path.clone(), value.span(), value.span());
    S::read(&mut Fields::new(reading, &path, &header, Some(table)), base)
}

/// Adds what could be read; one that could not makes the whole unusable.
fn put<S>(all: &mut Option<BTreeMap<String, S>>, name: &str, one: Option<S>) {
    match (all.as_mut(), one) {
        (Some(map), Some(one)) => {
            map.insert(name.to_owned(), one);
        }
        _ => *all = None,
    }
}

type NamedTable<'t> = (String, String, &'t DeTable<'t>);

/// The tables in the table `name`: path, own name, content.
fn named_tables<'t>(
    root: &'t DeTable<'t>,
    name: &str,
    header: &str,
    reading: &mut Reading<'_>,
) -> Option<Vec<NamedTable<'t>>> {
    let Some(value) = root.get(name) else {
        return Some(Vec::new());
    };
    let mut tables = Vec::new();
    let mut wrong = false;
    for (own, value) in as_table(value, name, header, reading)? {
        let path = format!("{name}.{}", key_part(own.get_ref()));
        reading.mark(path.clone(), own.span(), value.span());
        if own.get_ref().is_empty() || own.get_ref().len() > NAME_MAX || own.get_ref().contains('\0') {
            let what = format!("a name in [{name}.…] has 1 to {NAME_MAX} bytes and no zero byte");
            let finding = Finding::error(reading.key_place(&path), what);
            reading.findings.push(finding);
            wrong = true;
        }
        match as_table(value, own.get_ref(), header, reading) {
            Some(table) => tables.push((path, own.get_ref().to_string(), table)),
            None => wrong = true,
        }
    }
    (!wrong).then_some(tables)
}

/// The listeners, each with its own rules for TLS, which start from the general ones.
fn listeners(
    root: &DeTable<'_>,
    general: Option<&ClientTls>,
    reading: &mut Reading<'_>,
) -> Option<(Vec<ListenKeys>, Vec<ClientTls>)> {
    let Some(value) = root.get("listen") else {
        return Some((Vec::new(), Vec::new()));
    };
    let Some(items) = value.get_ref().as_array() else {
        reading.error(
            "listen",
            "`listen` must be a list of tables",
            "write each listener under its own [[listen]]",
        );
        return None;
    };
    let mut listeners = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let path = format!("listen.{index}");
        reading.mark(path.clone(), item.span(), item.span());
        let table = as_table(item, "listen", ListenKeys::HEADER, reading);
        let Some(table) = table else {
            listeners.push(None);
            continue;
        };
        let mut fields = Fields::new(reading, &path, ListenKeys::HEADER, Some(table)).also(&["client_tls"]);
        let listen = ListenKeys::read(&mut fields, None);
        let tls = match table.get("client_tls") {
            Some(value) => inner(value, &path, "client_tls", general, reading),
            None => general.cloned(),
        };
        listeners.push(listen.zip(tls));
    }
    let listeners: Option<Vec<_>> = listeners.into_iter().collect();
    listeners.map(|listeners| listeners.into_iter().unzip())
}

fn as_table<'t>(
    value: &'t Spanned<DeValue<'t>>,
    name: &str,
    header: &str,
    reading: &mut Reading<'_>,
) -> Option<&'t DeTable<'t>> {
    let table = value.get_ref().as_table();
    if table.is_none() {
        let place = Place::Excerpt { source: reading.source.clone(), at: value.span() };
        let found = value.get_ref().type_str();
        let what =
            format!("`{}` must be a table, found {}", name.escape_debug(), super::value::article(found));
        let finding = match super::keys::section_with(name) {
            Some(section) => {
                Finding::error(place, what).help(format!("the key `{name}` belongs in {section}"))
            }
            None => Finding::error(place, what).help(format!("write its keys under {header}")),
        };
        reading.findings.push(finding);
    }
    table
}
