//! Who may come from where, and how each must prove who it is (`pg_hba.conf`): the first rule that fits decides.

use std::{path::Path, sync::Arc};

use super::{
    AuthType,
    ident::IdentMaps,
    ldap::LdapPlan,
    oauth::OauthPlan,
    visit::{ClientCertificate, Interface, Visit, Wants, Whence},
};
use crate::wire::error::{PgError, SqlState};

mod address;
pub(super) mod lines;
pub(super) mod members;
pub(super) mod names;
pub(super) mod options;
mod parse;

use address::Addresses;
pub use lines::{Files, LineError, Place, Unreadable};
use members::Fit;
pub use members::Members;
use names::{DatabaseName, UserName};

/// The rules in force, and the maps they name.
#[derive(Clone, Debug)]
pub struct Rules {
    rules: Vec<Rule>,
    maps: Arc<IdentMaps>,
}

/// One rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Where it stands.
    pub place: Place,
    /// How those it is for must prove who they are.
    pub method: Method,
    transport: Transport,
    databases: Vec<DatabaseName>,
    users: Vec<UserName>,
    addresses: Addresses,
    certificate: CertificateNeed,
    map: Option<Box<str>>,
}

/// How somebody must prove who he is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    /// Nobody gets in by this rule.
    Reject,
    /// By a secret that is known here or on the servers, or (`trust`) not at all.
    Secret(AuthType),
    /// By the name in the certificate that was shown.
    Certificate,
    /// By the name of the system's user at the other end of the Unix socket.
    Peer,
    /// By a password that a directory takes.
    Ldap(Arc<LdapPlan>),
    /// By a password that the operating system's authentication modules take, as this service of theirs says.
    Pam(Box<str>),
    /// By a token that names the user.
    Oauth(Arc<OauthPlan>),
}

/// Which connections a rule is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    Local,
    Tcp,
    Tls,
    NotTls,
    /// Encrypted by GSSAPI, which nobody here is.
    Gssapi,
}

/// What certificate is asked for besides the method's proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CertificateNeed {
    None,
    /// A valid one (`clientcert=verify-ca`).
    Valid,
    /// One in the name of the user (`clientcert=verify-full`, and the method `cert`).
    Named(CertificateName),
}

/// Which name in a certificate counts (`clientname`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CertificateName {
    Common,
    Distinguished,
    /// Any of the alternative ones; not known to PostgreSQL.
    Alternative,
}

impl Rules {
    /// Reads `pg_hba.conf` and, where there is one, `pg_ident.conf`.
    pub fn load(hba: &Path, ident: Option<&Path>, files: &dyn Files) -> Result<Self, Vec<LineError>> {
        let maps = ident.map_or_else(|| Ok(IdentMaps::default()), |ident| IdentMaps::load(ident, files));
        let (maps, mut errors) = match maps {
            Ok(maps) => (maps, Vec::new()),
            Err(errors) => (IdentMaps::default(), errors),
        };
        let told = !errors.is_empty();
        let lines = lines::read(hba, files, &mut errors);
        let context = parse::Context { maps: (!told).then_some(&maps), files };
        let rules = parse::rules(lines, context, &mut errors);
        if rules.is_empty() && errors.is_empty() {
            let place = Place { file: hba.into(), line: 1 };
            errors
                .push(LineError { place, what: "there is no rule in it, so nobody could log in".to_owned() });
        }
        if errors.is_empty() { Ok(Self { rules, maps: Arc::new(maps) }) } else { Err(errors) }
    }

    /// One method, with its options as `pg_hba.conf` has them, for everybody and from everywhere it is possible.
    pub fn only(
        method: &str,
        options: &str,
        ident: Option<&Path>,
        files: &dyn Files,
        place: &Place,
    ) -> Result<Self, Vec<LineError>> {
        let maps = ident.map_or_else(|| Ok(IdentMaps::default()), |ident| IdentMaps::load(ident, files))?;
        let transports: &[&str] = match method {
            "peer" => &["local all all"],
            "cert" => &["hostssl all all all"],
            _ => &["local all all", "host all all all"],
        };
        let mut errors = Vec::new();
        let mut rules = Vec::new();
        for transport in transports {
            let text = format!("{transport} {method} {options}");
            let lines = lines::read_text(&text, place, files, &mut errors);
            let context = parse::Context { maps: Some(&maps), files };
            rules.extend(parse::rules(lines, context, &mut errors));
            if !errors.is_empty() {
                return Err(errors);
            }
        }
        Ok(Self { rules, maps: Arc::new(maps) })
    }

    /// One method without options for everybody.
    pub fn simple(auth_type: AuthType) -> Self {
        let place = Place { file: Path::new("").into(), line: 0 };
        let rule = |transport| Rule {
            place: place.clone(),
            method: if auth_type == AuthType::Peer { Method::Peer } else { Method::Secret(auth_type) },
            transport,
            databases: vec![DatabaseName::All, DatabaseName::Replication],
            users: vec![UserName::All],
            addresses: Addresses::All,
            certificate: CertificateNeed::None,
            map: None,
        };
        Self { rules: vec![rule(Transport::Local), rule(Transport::Tcp)], maps: Arc::default() }
    }

    /// Every rule.
    pub fn all(&self) -> &[Rule] {
        &self.rules
    }

    /// Whether this machine's own addresses must be known to decide.
    pub fn need_interfaces(&self) -> bool {
        self.rules.iter().any(|rule| rule.addresses.needs_interfaces())
    }

    /// The rule that decides.
    pub fn decide<'r>(
        &'r self,
        visit: &Visit<'r>,
        interfaces: &[Interface],
        members: &Members,
    ) -> Result<&'r Rule, Undecided<'r>> {
        let refused = |why| Err(Undecided::Refused(refusal(visit, why)));
        for rule in &self.rules {
            match rule.fits(visit, interfaces, members) {
                Fit::No => {}
                Fit::IfMember(role) => return Err(Undecided::IfMember(role)),
                Fit::Yes if rule.method == Method::Reject => return refused(Refusal::Rejected),
                Fit::Yes if rule.needs_certificate() && visit.whence.certificate().is_none() => {
                    let message = "connection requires a valid client certificate";
                    let error = PgError::fatal(SqlState::INVALID_AUTHORIZATION, message);
                    return Err(Undecided::Refused(error));
                }
                Fit::Yes => return Ok(rule),
            }
        }
        refused(Refusal::NoRule)
    }

    /// Whether somebody of this name, as another authority has it, may be this user by the rule.
    pub fn may_be(&self, rule: &Rule, name: &str, user: &str) -> bool {
        self.maps.allows(rule.map.as_deref(), name, user)
    }

    /// Whether the name of the system's user behind a Unix socket matters.
    pub fn need_system_user(&self) -> bool {
        self.rules.iter().any(|rule| rule.method == Method::Peer)
    }

    /// Whether what the connection itself proves suffices for this rule: the names in the certificate, the user of the
    /// system. To be asked besides every other proof.
    pub fn connection_proves(&self, rule: &Rule, visit: &Visit<'_>) -> Result<(), Unproved> {
        let allows = |name: &str| self.may_be(rule, name, visit.user);
        if let CertificateNeed::Named(which) = rule.certificate {
            let names = visit.whence.certificate().map(|shown| which.of(shown)).unwrap_or_default();
            if !names.iter().any(|name| allows(name)) {
                let none = names.is_empty();
                let reason = if none {
                    "the certificate has no such name"
                } else {
                    "the certificate is another user's"
                };
                return Err(Unproved { error: failed("certificate", visit.user), reason });
            }
        }
        if rule.method == Method::Peer {
            let error = failed("Peer", visit.user);
            let Whence::Local { system_user: Some(name) } = visit.whence else {
                let reason = "the operating system does not say whose connection it is";
                return Err(Unproved { error, reason });
            };
            if !allows(name) {
                let reason = "the operating system says that it is another user's";
                return Err(Unproved { error, reason });
            }
        }
        Ok(())
    }
}

/// Why no rule lets a client try, or not yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undecided<'r> {
    /// None does: what the client is told.
    Refused(PgError),
    /// It depends on whether the user is a member of this role.
    IfMember(&'r str),
}

/// The connection does not prove what it must.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unproved {
    /// What the client hears.
    pub error: PgError,
    /// What it does not, for the log.
    pub reason: &'static str,
}

/// What a client hears whose proof by some method failed, in PostgreSQL's words.
pub fn failed(method: &str, user: &str) -> PgError {
    let message = format!("{method} authentication failed for user \"{user}\"");
    PgError::fatal(SqlState::INVALID_AUTHORIZATION, message)
}

/// Why a rule, or the lack of one, lets nobody try.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Refusal {
    NoRule,
    Rejected,
}

/// In PostgreSQL's words.
fn refusal(visit: &Visit<'_>, why: Refusal) -> PgError {
    let begin = match (why, visit.wants) {
        (Refusal::NoRule, Wants::Session) => "no pg_hba.conf entry for",
        (Refusal::NoRule, Wants::PhysicalReplication) => {
            "no pg_hba.conf entry for replication connection from"
        }
        (Refusal::Rejected, Wants::Session) => "pg_hba.conf rejects connection for",
        (Refusal::Rejected, Wants::PhysicalReplication) => "pg_hba.conf rejects replication connection for",
    };
    let (host, user, encryption) = (visit.whence.host(), visit.user, visit.whence.encryption());
    let database = match visit.wants {
        Wants::Session => format!(", database \"{}\"", visit.database),
        Wants::PhysicalReplication => String::new(),
    };
    let message = format!("{begin} host \"{host}\", user \"{user}\"{database}, {encryption}");
    // Word for word as a server would say it: whoever reads it must not look there.
    PgError::fatal(SqlState::INVALID_AUTHORIZATION, message)
        .detail("The rules are pgsteer's own (auth_hba_file, or auth_type), not the server's.")
}

impl Rule {
    /// Whether nobody without a certificate gets in by it.
    pub fn needs_certificate(&self) -> bool {
        self.certificate != CertificateNeed::None
    }

    /// Whether it is for connections with TLS only.
    pub fn is_for_tls_only(&self) -> bool {
        self.transport == Transport::Tls
    }

    /// Whether servers must be asked for memberships in roles where it may decide.
    pub fn needs_members(&self) -> bool {
        self.databases.iter().any(|name| matches!(name, DatabaseName::SameRole))
            || self.users.iter().any(|name| matches!(name, UserName::MemberOf(_)))
    }

    fn fits<'r>(&'r self, visit: &Visit<'r>, interfaces: &[Interface], members: &Members) -> Fit<'r> {
        let transport = match (self.transport, visit.whence) {
            (Transport::Local, Whence::Local { .. })
            | (Transport::Tcp, Whence::Plain { .. } | Whence::Tls { .. })
            | (Transport::Tls, Whence::Tls { .. })
            | (Transport::NotTls, Whence::Plain { .. }) => true,
            (
                Transport::Local | Transport::Tcp | Transport::Tls | Transport::NotTls | Transport::Gssapi,
                _,
            ) => false,
        };
        let address =
            || visit.whence.address().is_none_or(|address| self.addresses.contains(address, interfaces));
        let database = || match visit.wants {
            Wants::Session => {
                Fit::any(self.databases.iter().map(|name| name.fits(visit.database, visit.user, members)))
            }
            Wants::PhysicalReplication => {
                self.databases.iter().any(|name| matches!(name, DatabaseName::Replication)).into()
            }
        };
        let user = || Fit::any(self.users.iter().map(|name| name.fits(visit.user, members)));
        Fit::from(transport && address()).and(database).and(user)
    }
}

impl CertificateName {
    fn of(self, certificate: &ClientCertificate) -> Vec<&str> {
        match self {
            Self::Common => certificate.common_name.as_deref().into_iter().collect(),
            Self::Distinguished => vec![&certificate.distinguished_name],
            Self::Alternative => certificate.alt_names.iter().map(String::as_str).collect(),
        }
    }
}

#[cfg(test)]
mod tests;
