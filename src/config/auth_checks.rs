//! Checks between the keys about logging in, and the [`Auth`] that comes of them.

use std::sync::Arc;

use super::{
    auth_file::{AuthFile, SecretKind},
    declare::{Reading, key_part},
    document::Keys,
    error::Finding,
    listen_address::ListenAddress,
    settings::{Auth, AuthQuery, Databases},
    words::AuthType,
};

/// Reads the users and checks what concerns logging in.
pub(super) fn auth(keys: &Keys, reading: &mut Reading<'_>) -> Auth {
    let AuthKeysRead { kind, users } = auth_users(keys, reading);
    lookups(keys, &users, reading);
    rules(keys, reading);
    let exposed = keys.listen.iter().position(|listen| !listen.address.is_local());
    if let (AuthType::Trust, Some(index)) = (kind, exposed) {
        let what = "with auth_type = \"trust\" everybody who reaches this address may be any user";
        reading.warning(
            &format!("listen.{index}.address"),
            what,
            "listen on 127.0.0.1, or choose another auth_type",
        );
    }
    let tcp = keys.listen.iter().position(|listen| matches!(listen.address, ListenAddress::Tcp(_)));
    if let (AuthType::Peer, Some(index)) = (kind, tcp) {
        let what = "with auth_type = \"peer\" nobody can log in over TCP";
        let help = "listen on a Unix socket, or choose another auth_type";
        reading.error(&format!("listen.{index}.address"), what, help);
    }
    if matches!(kind, AuthType::Peer | AuthType::Cert | AuthType::Oauth)
        && !has_server_credential(keys, &users)
    {
        let what = format!(
            "with auth_type = \"{}\" clients bring nothing that opens a server, and nothing else is known that does",
            kind.word()
        );
        let help = "list passwords in auth_file, or add user and password under [databases.NAME], unless the servers let \
                    pgsteer in by trust";
        reading.warning("auth.auth_type", what, help);
    }
    let databases = if keys.auth.databases_only { Databases::Declared } else { Databases::Any };
    if databases == Databases::Declared && keys.databases.is_empty() {
        let help = "add [databases.NAME], or remove databases_only";
        reading.error("auth.databases_only", "no database is declared, so nobody could connect", help);
    }
    Auth { kind, users: Arc::new(users), databases }
}

/// Whether anything is known that may log in to a server, besides what clients bring.
pub(super) fn has_server_credential(keys: &Keys, users: &AuthFile) -> bool {
    let tls = keys.cluster_tls.values().chain(keys.database_tls.values()).chain([&keys.server_tls]);
    keys.databases.values().any(|database| database.password.is_some())
        || users
            .iter()
            .any(|(_, secret)| matches!(SecretKind::of(secret), SecretKind::Plain | SecretKind::Md5))
        || tls.into_iter().any(|own| own.cert_file.is_some())
}

struct AuthKeysRead {
    kind: AuthType,
    users: AuthFile,
}

fn auth_users(keys: &Keys, reading: &mut Reading<'_>) -> AuthKeysRead {
    let kind = keys.auth.auth_type;
    let users = match &keys.auth.auth_file {
        Some(path) => AuthFile::load(path, &mut reading.findings),
        None => {
            if asks_for_secrets(kind) && !looks_up(keys) && !reading.is_told("auth.auth_type") {
                let what = format!("`auth_file` is missing: auth_type = \"{}\" needs it", kind.word());
                let help = "add `auth_file = \"userlist.txt\"` under [auth], or `auth_user`, to look users up on the servers";
                reading.missing("auth.auth_file", what, help);
            }
            AuthFile::default()
        }
    };
    let shut_out =
        users.iter().filter(|(_, secret)| shut_out(kind, SecretKind::of(secret))).map(|(user, _)| user);
    let shut_out: Vec<_> = shut_out.collect();
    if let Some(first) = shut_out.first() {
        let what = match shut_out.len() {
            1 => format!("the user {first:?} cannot log in"),
            n => format!("{n} users cannot log in, {first:?} among them"),
        };
        let what = format!("{what}: the secret does not serve auth_type = \"{}\"", kind.word());
        let help = "list a SCRAM verifier or a password";
        if shut_out.len() == users.len() && !looks_up(keys) {
            reading.error("auth.auth_type", what, help);
        } else {
            reading.warning("auth.auth_type", what, help);
        }
    }
    AuthKeysRead { kind, users }
}

/// Whether a client with such a secret in the auth_file can never prove who it is.
const fn shut_out(kind: AuthType, secret: SecretKind) -> bool {
    match kind {
        AuthType::ScramSha256 => matches!(secret, SecretKind::Md5 | SecretKind::Empty),
        AuthType::Md5 | AuthType::Plain => matches!(secret, SecretKind::Empty),
        AuthType::Peer
        | AuthType::Cert
        | AuthType::Trust
        | AuthType::Hba
        | AuthType::Ldap
        | AuthType::Pam
        | AuthType::Oauth
        | AuthType::Reject => false,
    }
}

/// Whether every client is asked for a secret that must be known here or on the servers.
const fn asks_for_secrets(kind: AuthType) -> bool {
    matches!(kind, AuthType::ScramSha256 | AuthType::Md5 | AuthType::Plain)
}

/// What concerns rules and maps. What stands in the files is looked at when the rules are built.
fn rules(keys: &Keys, reading: &mut Reading<'_>) {
    let auth = &keys.auth;
    let by_rules = auth.auth_type == AuthType::Hba;
    if by_rules && auth.auth_hba_file.is_none() {
        let help = "add `auth_hba_file = \"pg_hba.conf\"` under [auth]";
        reading.missing(
            "auth.auth_hba_file",
            "`auth_hba_file` is missing: auth_type = \"hba\" needs it",
            help,
        );
    }
    if !by_rules && auth.auth_hba_file.is_some() {
        let what = "`auth_hba_file` has a meaning with auth_type = \"hba\" only";
        reading.error("auth.auth_hba_file", what, "write auth_type = \"hba\", or remove it");
    }
    if by_rules && auth.auth_options.is_some() {
        let what = "`auth_options` has no meaning with auth_type = \"hba\"";
        reading.error("auth.auth_options", what, "write the options behind the methods in the auth_hba_file");
    }
    if auth.auth_ident_file.is_some() && auth.auth_hba_file.is_none() && auth.auth_options.is_none() {
        let what = "no map is asked for, so `auth_ident_file` has no meaning";
        reading.error("auth.auth_ident_file", what, "write auth_options = \"map=…\", or remove it");
    }
}

/// Whether users are looked up on the servers, for any database.
pub(super) fn looks_up(keys: &Keys) -> bool {
    keys.auth.auth_user.is_some() || keys.databases.values().any(|database| database.auth_user.is_some())
}

/// What concerns `auth_query`.
fn lookups(keys: &Keys, users: &AuthFile, reading: &mut Reading<'_>) {
    let auth = &keys.auth;
    if auth.auth_user.is_none() {
        useless("auth", &["auth_password", "auth_password_file", "auth_query", "auth_dbname"], reading);
    }
    if auth.auth_user.is_some() && !(asks_for_secrets(auth.auth_type) || auth.auth_type == AuthType::Hba) {
        let what = format!("with auth_type = \"{}\" nobody's secret is looked up", auth.auth_type.word());
        reading.error("auth.auth_user", what, "remove it, or choose another auth_type");
    }
    if auth.auth_user.is_some() {
        asker("auth", AuthQuery::resolve(keys, users, None), users, reading);
    }
    query("auth", &auth.auth_query, reading);
    for (name, database) in &keys.databases {
        let path = format!("databases.{}", key_part(name));
        match (&database.auth_user, &auth.auth_user) {
            (Some(_), _) => asker(&path, AuthQuery::resolve(keys, users, Some(database)), users, reading),
            (None, Some(_)) => useless(&path, &["auth_password", "auth_password_file"], reading),
            (None, None) => {
                let keys = ["auth_password", "auth_password_file", "auth_query", "auth_dbname"];
                useless(&path, &keys, reading);
            }
        }
        if let Some(own) = &database.auth_query {
            query(&path, own, reading);
        }
    }
}

fn useless(table: &str, keys: &[&str], reading: &mut Reading<'_>) {
    for key in keys {
        let path = format!("{table}.{key}");
        if reading.is_written(&path) {
            let place = reading.key_place(&path);
            let what = format!("`{key}` is set without the `auth_user` it is for");
            reading
                .findings
                .push(Finding::error(place, what).help(format!("add `auth_user` beside `{key}`")));
            return;
        }
    }
}

/// Whether the role that looks users up can log in.
fn asker(table: &str, asker: Option<AuthQuery>, users: &AuthFile, reading: &mut Reading<'_>) {
    let Some(AuthQuery { user, secret: None, .. }) = asker else { return };
    let path = format!("{table}.auth_user");
    let what = match users.get(&user).map(SecretKind::of) {
        Some(SecretKind::Scram) => {
            "the entry of `auth_user` in the auth_file is a SCRAM verifier, which cannot log in to servers"
        }
        _ => "`auth_user` has no password: the servers must let it in without",
    };
    reading.warning(&path, what, "add auth_password or auth_password_file");
}

fn query(table: &str, sql: &str, reading: &mut Reading<'_>) {
    if !sql.contains("$1") {
        let what = "`auth_query` does not mention `$1`, the user who is looked up";
        reading.error(&format!("{table}.auth_query"), what, "write for instance: … WHERE rolname = $1");
    }
}
