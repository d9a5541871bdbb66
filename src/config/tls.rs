//! Certificates and keys, read and put together: what is wrong with a file is told here, not by the first client.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use super::{
    declare::{Reading, key_part},
    document::Keys,
    listen_address::ListenAddress,
    secret_file::{Readers, read_guarded},
    tls_keys::{ClientTls, ServerTls, Trusted},
    words::{
        AuthType, ClientNegotiation, ClientSslMode, ServerBinding, ServerNegotiation, ServerSslMode,
        TlsVersion,
    },
};
use crate::tls::{
    About, Acceptor, Authorities, ChannelBinding, Demand, Fault, Identity, Negotiation, Revocations, SslMode,
    Start, ToServers, Version,
};

/// No file of certificates or revocations is larger, in bytes.
const FILE_MAX: u64 = 16 << 20;

/// TLS as it is spoken: ready for use.
#[derive(Clone, Debug, Default)]
pub(super) struct Tls {
    /// With clients, for each listener; `None`: TLS is refused.
    pub(super) listeners: Vec<Option<Arc<Acceptor>>>,
    general: ToServers,
    clusters: BTreeMap<String, ToServers>,
    databases: BTreeMap<String, ToServers>,
}

impl Tls {
    /// How servers of this cluster are reached, for this database where there is one.
    pub(super) fn to_servers(&self, cluster: &str, database: Option<&str>) -> &ToServers {
        let database = database.and_then(|database| self.databases.get(database));
        database.or_else(|| self.clusters.get(cluster)).unwrap_or(&self.general)
    }
}

/// Everything about TLS, checked.
pub(super) fn tls(keys: &Keys, reading: &mut Reading<'_>) -> Tls {
    let now = crate::clock::wall_time();
    let mut desk = Desk { reading, now, table: String::new(), general: "client_tls" };
    let general = desk.clients(&keys.client_tls);
    let listeners = keys.listen.iter().zip(&keys.listen_tls).enumerate().map(|(index, (listen, own))| {
        desk.table = format!("listen.{index}.client_tls");
        match listen.address {
            ListenAddress::Unix { .. } => {
                desk.nothing();
                None
            }
            ListenAddress::Tcp(_) if *own == keys.client_tls => general.clone(),
            ListenAddress::Tcp(_) => desk.clients(own),
        }
    });
    let listeners = listeners.collect();
    unused(keys, reading);
    certificates_for_all(keys, reading);
    let mut desk = Desk { reading, now, table: String::new(), general: "server_tls" };
    let general = desk.servers(&keys.server_tls);
    let mut of = |kind: &str, all: &BTreeMap<String, ServerTls>| {
        let read = |(name, own): (&String, &ServerTls)| {
            desk.table = format!("{kind}.{}.server_tls", key_part(name));
            (name.clone(), desk.servers(own))
        };
        all.iter().map(read).collect()
    };
    let clusters = of("clusters", &keys.cluster_tls);
    let databases = of("databases", &keys.database_tls);
    Tls { listeners, general, clusters, databases }
}

/// A certificate is there, and nobody may use TLS.
fn unused(keys: &Keys, reading: &mut Reading<'_>) {
    let off = keys.listen_tls.iter().all(|own| own.sslmode == ClientSslMode::Disable);
    if keys.client_tls.cert_file.is_some() && off {
        let what = "`cert_file` is set, but sslmode = \"disable\": clients cannot use TLS";
        reading.warning("client_tls.cert_file", what, "set sslmode = \"prefer\", or \"require\"");
    }
}

/// With `auth_type = "cert"` every client must show one.
fn certificates_for_all(keys: &Keys, reading: &mut Reading<'_>) {
    if keys.auth.auth_type != AuthType::Cert {
        return;
    }
    for (listen, own) in keys.listen.iter().zip(&keys.listen_tls) {
        let address = &listen.address;
        let (what, help) = match (address, own.sslmode) {
            (ListenAddress::Unix { .. }, _) => (
                format!("there are no certificates on the Unix socket {address}"),
                "choose another auth_type",
            ),
            (_, ClientSslMode::VerifyCa | ClientSslMode::VerifyFull) => continue,
            _ => (
                format!("{address} does not ask clients for a certificate"),
                "set sslmode = \"verify-full\" and ca_file under [client_tls]",
            ),
        };
        return reading.error("auth.auth_type", format!("auth_type = \"cert\", but {what}"), help);
    }
}

/// One table of keys while it is read.
struct Desk<'r, 'c> {
    reading: &'r mut Reading<'c>,
    now: Duration,
    /// Where the own keys are written, if anywhere.
    table: String,
    /// Where the others are.
    general: &'static str,
}

impl Desk<'_, '_> {
    /// There is nothing to be said of TLS on a Unix socket.
    fn nothing(&mut self) {
        if self.reading.is_written(&self.table) {
            let what = "there is no TLS on a Unix socket";
            self.reading.error(
                &self.table,
                what,
                "remove the table; `unix_socket_mode` says who may connect",
            );
        }
    }

    fn clients(&mut self, keys: &ClientTls) -> Option<Arc<Acceptor>> {
        let demand = match keys.sslmode {
            ClientSslMode::Disable => return None,
            ClientSslMode::Allow | ClientSslMode::Prefer => Demand::Nothing,
            ClientSslMode::Require => Demand::Encryption,
            ClientSslMode::VerifyCa | ClientSslMode::VerifyFull => Demand::Certificate,
        };
        let negotiation = match keys.sslnegotiation {
            ClientNegotiation::Any => Negotiation::Any,
            ClientNegotiation::Postgres => Negotiation::Postgres,
            ClientNegotiation::Direct => Negotiation::Direct,
        };
        let versions = self.versions(&keys.protocols);
        if keys.cert_file.is_none() && keys.key_file.is_none() {
            let what = format!("sslmode = \"{}\" needs a certificate and its key", keys.sslmode.word());
            self.fail("sslmode", &what, "add cert_file and key_file");
        }
        let identity = self.identity(keys.cert_file.as_deref(), keys.key_file.as_deref());
        if demand == Demand::Certificate && keys.ca_file.is_none() {
            let what = format!("sslmode = \"{}\" needs `ca_file`", keys.sslmode.word());
            self.fail("sslmode", &what, "add the authorities of your clients' certificates");
        }
        let authorities = keys.ca_file.as_deref().map(|file| self.authorities(file));
        let revocations = self.revocations(keys.crl_file.as_deref(), keys.ca_file.is_some());
        let clients = match authorities {
            None => None,
            Some(authorities) => Some((authorities?, revocations?)),
        };
        let clients = clients.as_ref().map(|(authorities, revoked)| (authorities, revoked.clone()));
        let acceptor = Acceptor::new(demand, negotiation, &versions?, &identity?, clients);
        self.take(acceptor, [keys.ca_file.as_deref(), keys.crl_file.as_deref()]).map(Arc::new)
    }

    fn servers(&mut self, keys: &ServerTls) -> ToServers {
        self.try_servers(keys).unwrap_or_default()
    }

    fn try_servers(&mut self, keys: &ServerTls) -> Option<ToServers> {
        let binding = self.binding(keys);
        let mode = match keys.sslmode {
            ServerSslMode::Disable => return None,
            ServerSslMode::Allow => SslMode::Allow,
            ServerSslMode::Prefer => SslMode::Prefer,
            ServerSslMode::Require => SslMode::Require,
            ServerSslMode::VerifyCa => SslMode::VerifyCa,
            ServerSslMode::VerifyFull => SslMode::VerifyFull,
        };
        let start = match keys.sslnegotiation {
            ServerNegotiation::Postgres => Start::Postgres,
            ServerNegotiation::Direct => Start::Direct,
        };
        let checks = !matches!(mode, SslMode::Allow | SslMode::Prefer);
        if start == Start::Direct && !checks {
            let what = format!(
                "sslnegotiation = \"direct\" and sslmode = \"{}\" exclude each other",
                keys.sslmode.word()
            );
            self.fail("sslnegotiation", &what, "set sslmode = \"require\", or better \"verify-full\"");
        }
        let versions = self.versions(&keys.protocols);
        let authorities = match &keys.ca_file {
            None if matches!(mode, SslMode::VerifyCa | SslMode::VerifyFull) => {
                let what = format!("sslmode = \"{}\" needs `ca_file`", keys.sslmode.word());
                self.fail(
                    "sslmode",
                    &what,
                    "add the authorities of your servers' certificates, or \"system\"",
                );
                return None;
            }
            None => None,
            Some(_) if !checks => {
                let what = format!("`ca_file` has no effect with sslmode = \"{}\"", keys.sslmode.word());
                self.warn("ca_file", &what, "set sslmode = \"verify-full\"");
                None
            }
            Some(Trusted::System) => {
                if mode != SslMode::VerifyFull {
                    let what = "the system's authorities vouch for everybody: only a name that is checked says anything";
                    self.fail("ca_file", what, "set sslmode = \"verify-full\"");
                }
                Some(self.system())
            }
            Some(Trusted::File(file)) => Some(self.authorities(file)),
        };
        let file = match &keys.ca_file {
            Some(Trusted::File(file)) => Some(file.as_path()),
            Some(Trusted::System) | None => None,
        };
        let revocations = self.revocations(keys.crl_file.as_deref(), checks && keys.ca_file.is_some());
        let servers = match authorities {
            None => None,
            Some(authorities) => Some((authorities?, revocations?)),
        };
        let servers = servers.as_ref().map(|(authorities, revoked)| (authorities, revoked.clone()));
        let shows_one = keys.cert_file.is_some() || keys.key_file.is_some();
        let identity = match shows_one {
            true => Some(self.identity(keys.cert_file.as_deref(), keys.key_file.as_deref())?),
            false => None,
        };
        let to_servers = ToServers::new(mode, start, &versions?, servers, identity.as_ref());
        Some(self.take(to_servers, [file, keys.crl_file.as_deref()])?.bound(binding))
    }

    fn binding(&mut self, keys: &ServerTls) -> ChannelBinding {
        let word = keys.sslmode.word();
        match (keys.channel_binding, keys.sslmode) {
            (
                ServerBinding::Require,
                ServerSslMode::Disable | ServerSslMode::Allow | ServerSslMode::Prefer,
            ) => {
                let what = format!(
                    "channel_binding = \"require\" and sslmode = \"{word}\" exclude each other: without TLS there is \
                     nothing to bind to"
                );
                self.fail("channel_binding", &what, "set sslmode = \"require\", or better \"verify-full\"");
                ChannelBinding::Require
            }
            (ServerBinding::Require, _) => ChannelBinding::Require,
            (ServerBinding::Prefer, _) => ChannelBinding::Prefer,
            (ServerBinding::Disable, _) => ChannelBinding::Disable,
        }
    }

    fn versions(&mut self, words: &[TlsVersion]) -> Option<Vec<Version>> {
        if words.is_empty() {
            self.fail("protocols", "`protocols` is empty: no version of TLS is left", "remove it for both");
            return None;
        }
        let version = |word: &TlsVersion| match word {
            TlsVersion::Tls12 => Version::Tls12,
            TlsVersion::Tls13 => Version::Tls13,
        };
        Some(words.iter().map(version).collect())
    }

    fn identity(&mut self, certificate: Option<&Path>, key: Option<&Path>) -> Option<Identity> {
        let (certificate_file, key_file) = match (certificate, key) {
            (Some(certificate), Some(key)) => (certificate, key),
            (Some(_), None) => {
                self.fail("cert_file", "`cert_file` is set without `key_file`", "add the certificate's key");
                return None;
            }
            (None, Some(_)) => {
                self.fail("key_file", "`key_file` is set without `cert_file`", "add the key's certificate");
                return None;
            }
            (None, None) => return None,
        };
        let certificate = self.file("cert_file", certificate_file);
        let key = self.file("key_file", key_file);
        let identity = Identity::from_pem(&certificate?, &key?);
        let identity = identity.map_err(|fault| match fault.about {
            About::Key => self.blame("key_file", key_file, &fault),
            _ => self.blame("cert_file", certificate_file, &fault),
        });
        let identity = identity.ok()?;
        if let Some(odd) = identity.oddity(self.now) {
            let what = format!("`cert_file`: {}: {}", certificate_file.display(), odd.what);
            self.warn("cert_file", &what, odd.help);
        }
        Some(identity)
    }

    fn authorities(&mut self, file: &Path) -> Option<Authorities> {
        let pem = self.file("ca_file", file)?;
        Authorities::from_pem(&pem, self.now).map_err(|fault| self.blame("ca_file", file, &fault)).ok()
    }

    fn system(&mut self) -> Option<Authorities> {
        let found = rustls_native_certs::load_native_certs();
        let authorities = Authorities::of_system(found.certs);
        authorities.map_err(|fault| self.fail("ca_file", &fault.what, fault.help)).ok()
    }

    /// The revocations; none without a file.
    fn revocations(&mut self, file: Option<&Path>, has_use: bool) -> Option<Revocations> {
        let Some(file) = file else { return Some(Revocations::default()) };
        if !has_use {
            self.fail("crl_file", "`crl_file` is set, but no certificate is checked", "add `ca_file`");
            return None;
        }
        let pem = self.file("crl_file", file)?;
        Revocations::from_pem(&pem).map_err(|fault| self.blame("crl_file", file, &fault)).ok()
    }

    /// A file's content. Keys must not be everybody's.
    fn file(&mut self, key: &str, file: &Path) -> Option<Vec<u8>> {
        match read_guarded(file, FILE_MAX) {
            Ok(read) => {
                if key == "key_file" && read.readers == Readers::Everybody {
                    let help = format!("chmod o-r {}", file.display());
                    self.warn(key, "everybody may read this private key", &help);
                }
                Some(read.bytes)
            }
            Err(why) => {
                self.fail(key, &format!("`{key}`: cannot read {}: {why}", file.display()), "");
                None
            }
        }
    }

    /// What rustls made of it all.
    fn take<T>(&mut self, made: Result<T, Fault>, [ca, crl]: [Option<&Path>; 2]) -> Option<T> {
        let fault = match made {
            Ok(made) => return Some(made),
            Err(fault) => fault,
        };
        match (fault.about, ca, crl) {
            (About::Authorities, Some(file), _) => self.blame("ca_file", file, &fault),
            (About::Revocations, _, Some(file)) => self.blame("crl_file", file, &fault),
            _ => self.fail("protocols", &fault.what, fault.help),
        }
        None
    }

    fn blame(&mut self, key: &str, file: &Path, fault: &Fault) {
        self.fail(key, &format!("`{key}`: {}: {}", file.display(), fault.what), fault.help);
    }

    fn fail(&mut self, key: &str, what: &str, help: &str) {
        let path = self.path(key);
        if self.reading.is_written(&path) {
            self.reading.error(&path, what, help);
        } else {
            self.reading.missing(&path, what, help);
        }
    }

    fn warn(&mut self, key: &str, what: &str, help: &str) {
        let path = self.path(key);
        self.reading.warning(&path, what, help);
    }

    /// Where a key is written: in the own table, else in the general one.
    fn path(&self, key: &str) -> String {
        let own = format!("{}.{key}", self.table);
        let general = format!("{}.{key}", self.general);
        let is_own = self.reading.is_written(&own) || !self.reading.is_written(&general);
        if is_own && !self.table.is_empty() { own } else { general }
    }
}
