//! What rules ask for that the configuration around them cannot give: told with file and line, before a client hears it.

use crate::{
    auth::{
        self,
        rules::{LineError, Method, Rule, Rules},
    },
    config::{AuthType, ClientSslMode, Config, SecretKind},
};

/// Rules that can let nobody in.
pub(super) fn errors(config: &Config, rules: &Rules) -> Vec<LineError> {
    found(rules, |rule| {
        certificates(config, rule).or_else(|| secrets(config, rule)).or_else(|| members(config, rule))
    })
}

/// Rules that are for nobody, or let people in who may come no further.
///
/// That is for `pgsteer check` and the log: what servers ask for, only they know.
pub fn warnings(config: &Config, rules: &Rules) -> Vec<LineError> {
    let mut credentials = found(rules, |rule| credentials(config, rule));
    // The others would say the same.
    credentials.truncate(1);
    let mut all = found(rules, |rule| encryption(config, rule));
    all.append(&mut credentials);
    all
}

fn found(rules: &Rules, look: impl Fn(&Rule) -> Option<String>) -> Vec<LineError> {
    let what = |rule: &Rule| Some(LineError { place: rule.place.clone(), what: look(rule)? });
    rules.all().iter().filter_map(what).collect()
}

fn has_tls(config: &Config) -> bool {
    config.keys.listen_tls.iter().any(|own| own.sslmode != ClientSslMode::Disable)
}

fn certificates(config: &Config, rule: &Rule) -> Option<String> {
    let asks =
        |own: &crate::config::ClientTls| own.sslmode != ClientSslMode::Disable && own.ca_file.is_some();
    if !rule.needs_certificate() || config.keys.listen_tls.iter().any(asks) {
        return None;
    }
    let why = match has_tls(config) {
        true => "no client is asked for one without `ca_file`: add it under [client_tls]",
        false => {
            "clients cannot use TLS: set sslmode = \"require\", cert_file, key_file and ca_file under [client_tls]"
        }
    };
    Some(format!("this rule needs a client's certificate, and {why}"))
}

fn secrets(config: &Config, rule: &Rule) -> Option<String> {
    let Method::Secret(method) = rule.method else { return None };
    let serves = |kind: SecretKind| match (method, kind) {
        (auth::AuthType::Trust | auth::AuthType::Peer, _) => true,
        (_, SecretKind::Empty) | (auth::AuthType::ScramSha256, SecretKind::Md5) => false,
        (_, SecretKind::Scram | SecretKind::Md5 | SecretKind::Plain) => true,
    };
    if serves(SecretKind::Empty) || config.looks_users_up() {
        return None;
    }
    if config.auth.users.iter().any(|(_, secret)| serves(SecretKind::of(secret))) {
        return None;
    }
    Some(match &config.keys.auth.auth_file {
        None => format!(
            "{method} needs secrets to check passwords by, and there are none: add auth_file or auth_user under [auth]"
        ),
        Some(file) => format!(
            "no secret in {} serves {method}, so this rule lets nobody in: list SCRAM verifiers or passwords",
            file.display()
        ),
    })
}

fn members(config: &Config, rule: &Rule) -> Option<String> {
    let what = "this rule depends on memberships in roles, which the servers must be asked for: add auth_user under \
                [auth], or list users and databases";
    (rule.needs_members() && !config.looks_users_up()).then(|| what.to_owned())
}

fn encryption(config: &Config, rule: &Rule) -> Option<String> {
    let what =
        "this rule is for nobody, since clients cannot use TLS: set sslmode = \"prefer\" under [client_tls]";
    (rule.is_for_tls_only() && !rule.needs_certificate() && !has_tls(config)).then(|| what.to_owned())
}

fn credentials(config: &Config, rule: &Rule) -> Option<String> {
    let method = match rule.method {
        Method::Certificate => "cert",
        Method::Peer => "peer",
        Method::Oauth(_) => "oauth",
        Method::Secret(_) | Method::Ldap(_) | Method::Pam(_) | Method::Reject => return None,
    };
    // Of a method for everybody the configuration's own check has told.
    (config.auth.kind == AuthType::Hba && !config.has_server_credential()).then(|| {
        format!(
            "who logs in by {method} brings nothing that opens a server, and nothing else is known that does: the \
             servers must let pgsteer in by trust, or add passwords to auth_file or [databases.NAME]"
        )
    })
}
