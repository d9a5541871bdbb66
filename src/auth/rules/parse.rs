//! From lines to rules (`parse_hba_line`).

use std::{net::IpAddr, sync::Arc};

use super::{
    AuthType, CertificateName, CertificateNeed, Method, Rule, Transport,
    address::Addresses,
    lines::{ERRORS_MAX, Files, Line, LineError, Word, beside, in_words},
    names::{DatabaseName, UserName},
    options::{Options, single},
};
use crate::auth::{ident::IdentMaps, ldap::LdapPlan, oauth::OauthPlan};

/// The service of PAM where a rule names none (PostgreSQL's is `postgresql`).
const PAM_SERVICE: &str = "pgsteer";

/// What lines refer to.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    /// Without them it is not checked whether a map exists.
    pub(super) maps: Option<&'a IdentMaps>,
    pub(super) files: &'a dyn Files,
}

/// Every line's rule.
pub(super) fn rules(lines: Vec<Line>, context: Context<'_>, errors: &mut Vec<LineError>) -> Vec<Rule> {
    let mut rules = Vec::new();
    for line in lines {
        match rule(&line, context) {
            Ok(rule) => rules.push(rule),
            Err(what) if errors.len() < ERRORS_MAX => errors.push(LineError { place: line.place, what }),
            Err(_) => break,
        }
    }
    rules
}

fn rule(line: &Line, context: Context<'_>) -> Result<Rule, String> {
    let transport = transport(single(line, 0, "connection type")?)?;
    let databases = line.fields.get(1).ok_or("end-of-line before database specification")?;
    let users = line.fields.get(2).ok_or("end-of-line before role specification")?;
    let (addresses, next) = match transport {
        Transport::Local => (Addresses::All, 3),
        _ => addresses(line)?,
    };
    let word = single(line, next, "authentication method")?;
    let mut options = Options::of(line.fields.get(next + 1..).unwrap_or_default())?;
    let method = method(&word.text, transport, &mut options, &|path| read(path, line, context.files))?;
    let map = map(&method, &mut options)?;
    if let (Some(map), Some(maps)) = (&map, context.maps)
        && !maps.has(map)
    {
        return Err(format!("the map \"{map}\" is not in the auth_ident_file"));
    }
    let certificate = certificate(&method, transport, &mut options)?;
    options.none_is_left(&word.text)?;
    Ok(Rule {
        place: line.place.clone(),
        method,
        transport,
        databases: databases.iter().map(DatabaseName::of).collect::<Result<_, _>>()?,
        users: users.iter().map(UserName::of).collect::<Result<_, _>>()?,
        addresses,
        certificate,
        map,
    })
}

/// A file that a line names, beside its own.
fn read(path: &str, line: &Line, files: &dyn Files) -> Result<String, String> {
    let path = beside(&line.place.file, path);
    files.read(&path).map_err(|why| format!("cannot read {}: {}", path.display(), in_words(why)))
}

fn transport(word: &Word) -> Result<Transport, String> {
    Ok(match &*word.text {
        "local" => Transport::Local,
        // Nobody comes with GSSAPI encryption: it is refused when it is asked for.
        "host" | "hostnogssenc" => Transport::Tcp,
        "hostssl" => Transport::Tls,
        "hostnossl" => Transport::NotTls,
        "hostgssenc" => Transport::Gssapi,
        other => return Err(format!("invalid connection type \"{other}\"")),
    })
}

/// The address of a line, and the field behind it.
fn addresses(line: &Line) -> Result<(Addresses, usize), String> {
    let word = single(line, 3, "host address")?;
    for (keyword, addresses) in
        [("all", Addresses::All), ("samehost", Addresses::SameHost), ("samenet", Addresses::SameNet)]
    {
        if word.is_keyword(keyword) {
            return Ok((addresses, 4));
        }
    }
    if word.text.contains('/') {
        return Ok((Addresses::cidr(&word.text)?, 4));
    }
    let base: IpAddr = word.text.parse().map_err(|_| {
        format!(
            "\"{}\" is no IP address; host names are not looked up here, since the answer would be somebody else's: \
             write an address range",
            word.text
        )
    })?;
    let mask = single(line, 4, "netmask").map_err(|what| {
        format!("{what}; write {base}/{} for this address alone", if base.is_ipv4() { 32 } else { 128 })
    })?;
    Ok((Addresses::masked(base, &mask.text)?, 5))
}

fn method(
    name: &str,
    transport: Transport,
    options: &mut Options,
    read: &dyn Fn(&str) -> Result<String, String>,
) -> Result<Method, String> {
    Ok(match name {
        "trust" => Method::Secret(AuthType::Trust),
        "reject" => Method::Reject,
        "scram-sha-256" => Method::Secret(AuthType::ScramSha256),
        "md5" => Method::Secret(AuthType::Md5),
        "password" | "plain" => Method::Secret(AuthType::Plain),
        "cert" if transport == Transport::Tls => Method::Certificate,
        "cert" => return Err("cert authentication is only supported on hostssl connections".to_owned()),
        "peer" | "ident" if transport == Transport::Local => Method::Peer,
        "peer" => return Err("peer authentication is only supported on local sockets".to_owned()),
        "ldap" => Method::Ldap(Arc::new(LdapPlan::of(options)?)),
        "pam" if cfg!(feature = "pam") => {
            Method::Pam(options.take("pamservice").unwrap_or_else(|| PAM_SERVICE.to_owned()).into())
        }
        "pam" => {
            return Err("this pgsteer was built without PAM; it needs the cargo feature \"pam\"".to_owned());
        }
        "oauth" => Method::Oauth(Arc::new(OauthPlan::of(options, read)?)),
        "ident" | "gss" | "sspi" | "radius" | "bsd" => {
            return Err(format!("pgsteer does not have the authentication method \"{name}\""));
        }
        other => return Err(format!("invalid authentication method \"{other}\"")),
    })
}

fn map(method: &Method, options: &mut Options) -> Result<Option<Box<str>>, String> {
    let map = options.take("map");
    match method {
        Method::Certificate | Method::Peer | Method::Oauth(_) => Ok(map.map(Into::into)),
        _ if map.is_some() => {
            Err("authentication option \"map\" is only valid for the methods cert, peer and oauth".to_owned())
        }
        _ => Ok(None),
    }
}

fn certificate(
    method: &Method,
    transport: Transport,
    options: &mut Options,
) -> Result<CertificateNeed, String> {
    let name = match options.take("clientname").as_deref() {
        None => None,
        Some("CN") => Some(CertificateName::Common),
        Some("DN") => Some(CertificateName::Distinguished),
        Some("SAN") => Some(CertificateName::Alternative),
        Some(other) => {
            return Err(format!("invalid value for clientname: \"{other}\"; CN, DN or SAN is expected"));
        }
    };
    let need = options.take("clientcert");
    if (need.is_some() || name.is_some()) && transport != Transport::Tls {
        return Err("clientcert and clientname can only be configured for \"hostssl\" rows".to_owned());
    }
    let named = CertificateNeed::Named(name.unwrap_or(CertificateName::Common));
    match (need.as_deref(), method) {
        (None | Some("verify-full"), Method::Certificate) => Ok(named),
        (Some("verify-ca"), Method::Certificate) => {
            Err("clientcert only accepts \"verify-full\" when using \"cert\" authentication".to_owned())
        }
        (Some("verify-full"), _) => Ok(named),
        (Some("verify-ca"), _) if name.is_none() => Ok(CertificateNeed::Valid),
        (Some("verify-ca") | None, _) if name.is_some() => {
            Err("clientname has a meaning with clientcert=verify-full only".to_owned())
        }
        (None, _) => Ok(CertificateNeed::None),
        (Some(other), _) => Err(format!("invalid value for clientcert: \"{other}\"")),
    }
}
