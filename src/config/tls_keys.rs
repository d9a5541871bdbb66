//! The keys of TLS, on both sides.

use std::{collections::BTreeMap, path::PathBuf};

use toml::de::{DeTable, DeValue};

use super::{
    declare::{Entry, Fields, Key, Reading, Reload, Section, key_part, section},
    document::inner,
    keys::DatabaseKeys,
    value::{Context, Fault, Value, quoted},
    words::{ClientNegotiation, ClientSslMode, ServerBinding, ServerNegotiation, ServerSslMode, TlsVersion},
};

section! {
    /// TLS on connections of clients. `[listen.client_tls]` under a `[[listen]]` may set any of these keys for that
    /// listener alone. The files are PEM; they are read again at every reload, all or none, and connections that are
    /// open go on with what they began with.
    ClientTls "[client_tls]" {
        /// `disable`: no TLS; `allow` and `prefer`: a client may use it; `require`: a client must use it; `verify-ca` and
        /// `verify-full`: and show a certificate of an authority in `ca_file`. Cancel requests may come without.
        NewConnections sslmode: ClientSslMode = "disable";
        /// The certificate shown to clients, behind it those between it and its authority.
        NewConnections cert_file: Option<PathBuf>;
        /// Its private key, without a passphrase: RSA, ECDSA (P-256, P-384) or Ed25519.
        NewConnections key_file: Option<PathBuf>;
        /// Authorities of clients' certificates. With it every client is asked for one; one that is shown is checked,
        /// whatever the `sslmode`.
        NewConnections ca_file: Option<PathBuf>;
        /// Revocation lists; one of each authority that has issued a client's certificate, none of them expired.
        NewConnections crl_file: Option<PathBuf>;
        /// Versions of TLS that are spoken: `tlsv1.2`, `tlsv1.3`.
        NewConnections protocols: Vec<TlsVersion> = ["tlsv1.2", "tlsv1.3"];
        /// How TLS may begin: `postgres`: with an SSLRequest; `direct`: at once, with ALPN (libpq 17); `any`: either.
        NewConnections sslnegotiation: ClientNegotiation = "any";
    }
}

section! {
    /// TLS on connections to servers, those of probes and cancel requests too; never on Unix sockets. With libpq's
    /// meanings. `[clusters.NAME.server_tls]` and `[databases.NAME.server_tls]` may set any of these keys for one
    /// cluster or database; a database's go before its cluster's. The files are PEM and read again at every reload.
    ServerTls "[server_tls]" {
        /// `disable`: no TLS; `allow`: only if the server refuses us without; `prefer`: if the server has it; `require`:
        /// always; `verify-ca`: and the certificate must be of an authority in `ca_file`; `verify-full`: and made out to
        /// the host that was dialled. `require` with `ca_file` is `verify-ca`.
        NewConnections sslmode: ServerSslMode = "prefer";
        /// Authorities of the servers' certificates, or `"system"` for the system's own.
        NewConnections ca_file: Option<Trusted>;
        /// The certificate shown to servers that ask for one.
        NewConnections cert_file: Option<PathBuf>;
        /// Its private key.
        NewConnections key_file: Option<PathBuf>;
        /// Revocation lists; one of each authority in a server's chain, none of them expired.
        NewConnections crl_file: Option<PathBuf>;
        /// Versions of TLS that are spoken: `tlsv1.2`, `tlsv1.3`.
        NewConnections protocols: Vec<TlsVersion> = ["tlsv1.2", "tlsv1.3"];
        /// How TLS begins: `postgres`: with an SSLRequest; `direct`: at once, which saves a round trip and needs
        /// PostgreSQL 17.
        NewConnections sslnegotiation: ServerNegotiation = "postgres";
        /// Whether logins by SCRAM are bound to the connection (SCRAM-SHA-256-PLUS), so that nobody in the middle can pass
        /// them on: `disable`: no; `prefer`: where the server offers it; `require`: always, and a server that
        /// asks for something else, or for nothing, is not logged in to. Probes are meant as well.
        NewConnections channel_binding: ServerBinding = "prefer";
    }
}

/// Who is trusted to vouch for servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trusted {
    /// Whom the system trusts.
    System,
    /// The authorities in a file.
    File(PathBuf),
}

impl Value for Trusted {
    fn kind() -> String {
        "path, or `\"system\"`".to_owned()
    }
    fn read(value: &DeValue<'_>, context: Context<'_>) -> Result<Self, Fault> {
        match value.as_str() {
            Some("system") => Ok(Self::System),
            _ => PathBuf::read(value, context).map(Self::File),
        }
    }
    fn show(&self) -> String {
        match self {
            Self::System => quoted("system"),
            Self::File(path) => path.show(),
        }
    }
}

type Overrides = (BTreeMap<String, ServerTls>, BTreeMap<String, ServerTls>);

/// What clusters and databases say of TLS to their servers.
pub(super) fn overrides(
    root: &DeTable<'_>,
    general: Option<&ServerTls>,
    databases: Option<&BTreeMap<String, DatabaseKeys>>,
    reading: &mut Reading<'_>,
) -> Option<Overrides> {
    let (general, databases) = (general?, databases?);
    let clusters = tls_inside(root, "clusters", reading, |_| general.clone())?;
    let base = |name: &str| {
        let cluster = databases.get(name).and_then(|database| database.cluster.as_ref());
        cluster.and_then(|cluster| clusters.get(cluster)).unwrap_or(general).clone()
    };
    let databases = tls_inside(root, "databases", reading, base)?;
    Some((clusters, databases))
}

fn tls_inside(
    root: &DeTable<'_>,
    kind: &str,
    reading: &mut Reading<'_>,
    base: impl Fn(&str) -> ServerTls,
) -> Option<BTreeMap<String, ServerTls>> {
    let mut found = BTreeMap::new();
    let tables = root.get(kind).and_then(|value| value.get_ref().as_table());
    for (name, value) in tables.into_iter().flatten() {
        let Some(own) = value.get_ref().as_table().and_then(|table| table.get("server_tls")) else {
            continue;
        };
        let path = format!("{kind}.{}", key_part(name.get_ref()));
        let read = inner(own, &path, "server_tls", Some(&base(name.get_ref())), reading)?;
        found.insert(name.get_ref().to_string(), read);
    }
    Some(found)
}
