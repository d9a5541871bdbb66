//! How users are checked against a directory (`ldap` in `pg_hba.conf`, with PostgreSQL's options).

use std::fmt;

use super::rules::options::Options;

/// How a directory is asked.
#[derive(Clone, PartialEq, Eq)]
pub struct LdapPlan {
    /// The servers, as URLs (`ldap://host:port`), tried in turn.
    pub servers: Vec<String>,
    /// Whether TLS begins on a plain connection (StartTLS).
    pub start_tls: bool,
    /// The authorities (PEM) that vouch for the servers; the system's, if it is not given.
    pub ca_file: Option<String>,
    /// How a user is found there.
    pub bind: LdapBind,
}

/// How a user is found.
#[derive(Clone, PartialEq, Eq)]
pub enum LdapBind {
    /// His name is made up of his user name.
    Simple {
        /// What stands before it.
        prefix: String,
        /// What stands behind it.
        suffix: String,
    },
    /// He is searched for.
    Search {
        /// Where.
        base: String,
        /// As whom; nobody if it is empty.
        bind_dn: String,
        /// Its password.
        bind_password: String,
        /// How deep.
        scope: LdapScope,
        /// By which filter; `$username` is the user.
        filter: String,
    },
}

/// How deep a search goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LdapScope {
    /// The entry itself.
    Base,
    /// The entries just below.
    One,
    /// Everything below.
    Subtree,
}

/// What stands for the user in a filter.
const USER: &str = "$username";

impl LdapPlan {
    /// What the options say.
    pub(super) fn of(options: &mut Options) -> Result<Self, String> {
        if let Some(url) = options.take("ldapurl") {
            url_into_options(&url, options)?;
        }
        let scheme = options.take("ldapscheme").unwrap_or_else(|| "ldap".to_owned());
        if !matches!(&*scheme, "ldap" | "ldaps") {
            return Err(format!("invalid ldapscheme value: \"{scheme}\""));
        }
        let start_tls = match options.take("ldaptls").as_deref() {
            None | Some("0") => false,
            Some("1") if scheme == "ldaps" => return Err("ldaptls=1 has no meaning with ldaps".to_owned()),
            Some("1") => true,
            Some(other) => return Err(format!("invalid ldaptls value: \"{other}\"")),
        };
        let default_port = if scheme == "ldaps" { 636 } else { 389 };
        let port = match options.take("ldapport") {
            None => default_port,
            Some(port) => port
                .parse::<u16>()
                .ok()
                .filter(|port| *port > 0)
                .ok_or_else(|| format!("invalid LDAP port number: \"{port}\""))?,
        };
        let servers =
            options.take("ldapserver").ok_or("the method ldap needs the option ldapserver, or ldapurl")?;
        let servers =
            servers.split_ascii_whitespace().map(|host| format!("{scheme}://{host}:{port}")).collect();
        Ok(Self { servers, start_tls, ca_file: options.take("ldapcafile"), bind: LdapBind::of(options)? })
    }
}

impl LdapBind {
    fn of(options: &mut Options) -> Result<Self, String> {
        let (prefix, suffix) = (options.take("ldapprefix"), options.take("ldapsuffix"));
        let (base, attribute) = (options.take("ldapbasedn"), options.take("ldapsearchattribute"));
        let (filter, scope) = (options.take("ldapsearchfilter"), options.take("ldapscope"));
        let (bind_dn, bind_password) = (options.take("ldapbinddn"), options.take("ldapbindpasswd"));
        let simple = prefix.is_some() || suffix.is_some();
        let searches =
            [&base, &attribute, &filter, &scope, &bind_dn, &bind_password].iter().any(|o| o.is_some());
        if simple && searches {
            return Err("cannot mix options for simple bind and search+bind modes".to_owned());
        }
        if simple {
            return Ok(Self::Simple {
                prefix: prefix.unwrap_or_default(),
                suffix: suffix.unwrap_or_default(),
            });
        }
        let base =
            base.ok_or("the method ldap needs the option \"ldapbasedn\", \"ldapprefix\" or \"ldapsuffix\"")?;
        let filter = match (attribute, filter) {
            (Some(_), Some(_)) => {
                return Err("cannot use ldapsearchattribute together with ldapsearchfilter".to_owned());
            }
            (attribute, None) => format!("({}={USER})", attribute.as_deref().unwrap_or("uid")),
            (None, Some(filter)) if !filter.contains(USER) => {
                return Err(format!("the ldapsearchfilter does not mention {USER}: it would find anybody"));
            }
            (None, Some(filter)) => filter,
        };
        let scope = match scope.as_deref() {
            Some("base") => LdapScope::Base,
            Some("one") => LdapScope::One,
            None | Some("sub") => LdapScope::Subtree,
            Some(other) => return Err(format!("invalid scope of an ldapurl: \"{other}\"")),
        };
        let (bind_dn, bind_password) = (bind_dn.unwrap_or_default(), bind_password.unwrap_or_default());
        Ok(Self::Search { base, bind_dn, bind_password, scope, filter })
    }

    /// The filter for this user, whose name `escaped` is as a filter wants it.
    pub fn filter_for(filter: &str, escaped: &str) -> String {
        filter.replace(USER, escaped)
    }
}

/// `ldap[s]://host[:port]/basedn[?[attribute][?[scope][?[filter]]]]` (RFC 4516) as the options it stands for.
fn url_into_options(url: &str, options: &mut Options) -> Result<(), String> {
    let wrong = || format!("could not parse LDAP URL \"{url}\"");
    let parsed = url::Url::parse(url).map_err(|_| wrong())?;
    let decode = |text: &str| percent_decode(text).ok_or_else(wrong);
    options.give("ldapscheme", parsed.scheme())?;
    options.give("ldapserver", parsed.host_str().ok_or_else(wrong)?)?;
    if let Some(port) = parsed.port() {
        options.give("ldapport", &port.to_string())?;
    }
    let base = decode(parsed.path().trim_start_matches('/'))?;
    if !base.is_empty() {
        options.give("ldapbasedn", &base)?;
    }
    let names = ["ldapsearchattribute", "ldapscope", "ldapsearchfilter"];
    let parts: Vec<&str> = parsed.query().unwrap_or_default().split('?').collect();
    if parts.len() > names.len() {
        return Err(wrong());
    }
    for (name, part) in names.into_iter().zip(parts) {
        if !part.is_empty() {
            options.give(name, &decode(part)?)?;
        }
    }
    Ok(())
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, behind) = rest.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = behind;
    }
    String::from_utf8(bytes).ok()
}

impl fmt::Debug for LdapPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LdapPlan")
            .field("servers", &self.servers)
            .field("bind", &self.bind)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for LdapBind {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Simple { prefix, suffix } => write!(f, "{prefix}USER{suffix}"),
            Self::Search { base, filter, bind_dn, scope, .. } => {
                write!(f, "{filter} {scope:?} {base} as {bind_dn:?}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(options: &str) -> String {
        let mut options = Options::parse(options).unwrap();
        let plan = LdapPlan::of(&mut options);
        match plan.and_then(|plan| options.none_is_left("ldap").map(|()| plan)) {
            Ok(plan) => {
                let tls = if plan.start_tls { " StartTLS" } else { "" };
                format!("{}{tls} {:?}", plan.servers.join(" "), plan.bind)
            }
            Err(why) => why,
        }
    }

    #[test]
    fn options() {
        for (options, expected) in [
            ("ldapserver=a ldapprefix=cn=", "ldap://a:389 cn=USER"),
            (
                "ldapserver=a,b ldapport=1389 ldaptls=1 ldapsuffix=@x.org",
                "ldap://a:1389 ldap://b:1389 StartTLS USER@x.org",
            ),
            (
                "ldapserver=a ldapscheme=ldaps ldapbasedn=dc=x",
                "ldaps://a:636 (uid=$username) Subtree dc=x as \"\"",
            ),
            (
                "ldapserver=a ldapbasedn=dc=x ldapbinddn=cn=m ldapbindpasswd=secret ldapsearchattribute=mail",
                "ldap://a:389 (mail=$username) Subtree dc=x as \"cn=m\"",
            ),
            (
                "ldapserver=a ldapbasedn=dc=x ldapsearchfilter=(|(uid=$username)(mail=$username))",
                "ldap://a:389 (|(uid=$username)(mail=$username)) Subtree dc=x as \"\"",
            ),
            ("ldapurl=ldap://a/dc=x,dc=y?uid?one", "ldap://a:389 (uid=$username) One dc=x,dc=y as \"\""),
            (
                "ldapurl=ldaps://[::1]:7/dc=x%20y??base?(cn=$username)",
                "ldaps://[::1]:7 (cn=$username) Base dc=x y as \"\"",
            ),
            ("ldapprefix=cn=", "the method ldap needs the option ldapserver, or ldapurl"),
            (
                "ldapserver=a",
                "the method ldap needs the option \"ldapbasedn\", \"ldapprefix\" or \"ldapsuffix\"",
            ),
            (
                "ldapserver=a ldapprefix=a ldapbasedn=b",
                "cannot mix options for simple bind and search+bind modes",
            ),
            ("ldapserver=a ldapprefix=a ldaptls=2", "invalid ldaptls value: \"2\""),
            ("ldapserver=a ldapprefix=a ldapport=0", "invalid LDAP port number: \"0\""),
            ("ldapserver=a ldapprefix=a ldapscheme=http", "invalid ldapscheme value: \"http\""),
            ("ldapserver=a ldapprefix=a ldapscheme=ldaps ldaptls=1", "ldaptls=1 has no meaning with ldaps"),
            (
                "ldapserver=a ldapbasedn=b ldapsearchfilter=(cn=x)",
                "the ldapsearchfilter does not mention $username: it would find anybody",
            ),
            (
                "ldapserver=a ldapbasedn=b ldapsearchfilter=($username) ldapsearchattribute=x",
                "cannot use ldapsearchattribute together with ldapsearchfilter",
            ),
            ("ldapurl=nonsense", "could not parse LDAP URL \"nonsense\""),
            ("ldapurl=ldap://a/b ldapserver=c", "authentication option \"ldapserver\" is given twice"),
            (
                "ldapserver=a ldapprefix=a map=b",
                "authentication option \"map\" is not known for the method ldap",
            ),
        ] {
            assert_eq!(plan(options), expected, "{options}");
        }
        let mut options = Options::parse("ldapserver=a ldapbasedn=b ldapbindpasswd=hunter2").unwrap();
        assert!(!format!("{:?}", LdapPlan::of(&mut options).unwrap()).contains("hunter2"));
    }
}
