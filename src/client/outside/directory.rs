//! LDAP (RFC 4511): a password is right if the directory takes it for a bind.

use std::{sync::Arc, time::Duration};

use ldap3::{Ldap, LdapConnAsync, LdapConnSettings, LdapError, Scope, SearchEntry, dn_escape, ldap_escape};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use super::{Verdict, one_line, read};
use crate::auth::ldap::{LdapBind, LdapPlan, LdapScope};

/// Connecting to one server takes no longer, nor any answer of it.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// `invalidCredentials`, and what else says that the name or password is not good (RFC 4511, appendix A).
const WRONG: [u32; 4] = [49, 48, 34, 32];

/// Whether one of the servers takes the password; an error if none can be asked.
pub(super) async fn judge(plan: &LdapPlan, user: &str, password: &[u8]) -> Result<Verdict, String> {
    // A directory's passwords are UTF-8 (RFC 4513, section 5.1.3).
    let Ok(password) = std::str::from_utf8(password) else { return Ok(Verdict::Wrong) };
    let settings = settings(plan).await?;
    let mut last = "no server is named".to_owned();
    for server in &plan.servers {
        match ask(server, &settings, plan, user, password).await {
            Ok(verdict) => return Ok(verdict),
            Err(error) => last = format!("{server}: {}", one_line(&error)),
        }
    }
    Err(last)
}

async fn settings(plan: &LdapPlan) -> Result<LdapConnSettings, String> {
    let settings = LdapConnSettings::new().set_conn_timeout(ANSWER_MAX).set_starttls(plan.start_tls);
    if !plan.start_tls && !plan.servers.iter().any(|server| server.starts_with("ldaps:")) {
        return Ok(settings);
    }
    let mut roots = RootCertStore::empty();
    match plan.ca_file.clone() {
        Some(file) => {
            let pem = read(file.clone()).await.map_err(|error| format!("cannot read {file}: {error}"))?;
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                let certificate = certificate.map_err(|error| format!("{file}: {error}"))?;
                roots.add(certificate).map_err(|error| format!("{file}: {error}"))?;
            }
        }
        None => {
            let system = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await;
            roots.add_parsable_certificates(system.map_err(|error| error.to_string())?.certs);
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(settings.set_config(Arc::new(config)))
}

async fn ask(
    server: &str,
    settings: &LdapConnSettings,
    plan: &LdapPlan,
    user: &str,
    password: &str,
) -> Result<Verdict, LdapError> {
    let name = match &plan.bind {
        LdapBind::Simple { prefix, suffix } => {
            let is_dn = prefix.contains('=') || suffix.contains('=');
            let user = if is_dn { dn_escape(user) } else { user.into() };
            format!("{prefix}{user}{suffix}")
        }
        LdapBind::Search { base, bind_dn, bind_password, scope, filter } => {
            let mut ldap = open(server, settings).await?;
            ldap.simple_bind(bind_dn, bind_password).await?.success()?;
            let scope = match scope {
                LdapScope::Base => Scope::Base,
                LdapScope::One => Scope::OneLevel,
                LdapScope::Subtree => Scope::Subtree,
            };
            let filter = LdapBind::filter_for(filter, &ldap_escape(user));
            // "1.1": no attributes (RFC 4511, section 4.5.1.8).
            let (entries, _) = ldap.search(base, scope, &filter, vec!["1.1"]).await?.success()?;
            // It does not matter how that connection ends.
            let _ = ldap.unbind().await;
            let mut found = entries.into_iter().filter(|entry| !entry.is_ref());
            let (Some(entry), None) = (found.next(), found.next()) else { return Ok(Verdict::Wrong) };
            SearchEntry::construct(entry).dn
        }
    };
    let mut ldap = open(server, settings).await?;
    let answer = ldap.simple_bind(&name, password).await?;
    let _ = ldap.unbind().await;
    match answer.rc {
        0 => Ok(Verdict::Right),
        rc if WRONG.contains(&rc) => Ok(Verdict::Wrong),
        _ => answer.success().map(|_| Verdict::Wrong),
    }
}

async fn open(server: &str, settings: &LdapConnSettings) -> Result<Ldap, LdapError> {
    let (connection, mut ldap) = LdapConnAsync::with_settings(settings.clone(), server).await?;
    // Ends with its handle.
    ldap3::drive!(connection);
    ldap.with_timeout(ANSWER_MAX);
    Ok(ldap)
}
