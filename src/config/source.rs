//! Where a configuration comes from, and how it is read, and read again.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use super::{
    Config, Invalid, ServerAddress, auth_checks, checks, clusters,
    declare::Reading,
    document::Keys,
    error::{Finding, Place, SourceText},
    own_reads::Kept,
    secret_file::{Guarded, Readers, read_guarded},
    sense, tls,
    value::{Context, Environment, quoted},
};

/// No configuration file is larger, in bytes.
const FILE_MAX: u64 = 1 << 20;

/// The role that probes log in as when the command line does not say.
pub const DEFAULT_PROBE_USER: &str = "pgsteer";

/// Where a configuration comes from. It can be loaded again, for a reload.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// The command line: no store, the servers are asked who leads.
    Hosts(Hosts),
}

/// A configuration without a file: one cluster named `default`, asked itself who leads; writing on 127.0.0.1:6432,
/// reading on 127.0.0.1:6433, HTTP on 127.0.0.1:9930, everything else as by default.
#[derive(Clone, Debug)]
pub struct Hosts {
    /// The servers.
    pub hosts: Vec<ServerAddress>,
    /// Users and their secrets.
    pub auth_file: PathBuf,
    /// Role of the probes; `None`: [`DEFAULT_PROBE_USER`].
    pub probe_user: Option<String>,
    /// File with its password. Without one, the environment variable `PGSTEER_PROBE_PASSWORD` holds it, or the
    /// auth_file if it has a plain password for this user.
    pub probe_password_file: Option<PathBuf>,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Hosts(_) => f.write_str("the command line"),
        }
    }
}

impl Source {
    /// Reads the configuration and everything it refers to: secrets, the auth_file, the environment.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(&self) -> Result<Config, Invalid> {
        let environment = |name: &str| std::env::var(name).ok();
        match self {
            Self::File(path) => load_file(path, &environment),
            Self::Hosts(hosts) => {
                let name = self.to_string();
                Config::parse(
                    &hosts.text(&environment),
                    &name,
                    Path::new(""),
                    &environment,
                    Readers::OwnerOrGroup,
                )
            }
        }
    }
}

impl Hosts {
    /// The same as a configuration file. No secret is in it.
    fn text(&self, environment: Environment<'_>) -> String {
        let hosts: Vec<_> = self.hosts.iter().map(|host| quoted(host.as_str())).collect();
        let user = self.probe_user.as_deref().unwrap_or(DEFAULT_PROBE_USER);
        let password = match &self.probe_password_file {
            Some(file) => format!("probe_password_file = {}\n", quoted(&file.to_string_lossy())),
            None if environment("PGSTEER_PROBE_PASSWORD").is_some() => {
                "probe_password = { env = \"PGSTEER_PROBE_PASSWORD\" }\n".to_owned()
            }
            None => String::new(),
        };
        format!(
            "[clusters.default]\nstore = \"none\"\nhosts = [{}]\nprobe_user = {}\n{password}\
             [[listen]]\naddress = \"127.0.0.1:6432\"\nroute = \"write\"\n\
             [[listen]]\naddress = \"127.0.0.1:6433\"\nroute = \"read\"\n\
             [auth]\nauth_file = {}\n",
            hosts.join(", "),
            quoted(user),
            quoted(&self.auth_file.to_string_lossy()),
        )
    }
}

fn load_file(path: &Path, environment: Environment<'_>) -> Result<Config, Invalid> {
    let name = path.display().to_string();
    let fail =
        |line, what: String| Invalid::from(Finding::error(Place::File { name: name.clone(), line }, what));
    let Guarded { bytes, readers } = read_guarded(path, FILE_MAX)
        .map_err(|why| fail(None, format!("cannot read the configuration: {why}")))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let line = valid.iter().filter(|byte| **byte == b'\n').count() + 1;
        fail(Some(line), "the configuration is not UTF-8".to_owned())
    })?;
    let folder = path.parent().unwrap_or(Path::new(""));
    Config::parse(&text, &name, folder, environment, readers)
}

impl Config {
    /// Reads a configuration from its text. Relative paths start at `folder`.
    pub(super) fn parse(
        text: &str,
        name: &str,
        folder: &Path,
        environment: Environment<'_>,
        readers: Readers,
    ) -> Result<Self, Invalid> {
        let mut reading = Reading::new(SourceText::new(name, text), Context { folder, environment });
        let keys = Keys::read(text, &mut reading);
        if let (Some(path), Readers::Everybody) = (&reading.secret_in_text, readers) {
            let what = format!("everybody may read this file, and `{path}` is in it");
            let help = format!("chmod o-r {name}, or use the key's `_file` sibling");
            reading.findings.push(Finding::warning(reading.key_place(path), what).help(help));
        }
        let config = keys.map(|keys| Self::check(keys, name, &mut reading));
        if let Some(invalid) = Invalid::among(&reading.findings) {
            return Err(invalid);
        }
        // `Keys::read` tells of at least one error where it gives up, so the second arm is for the compiler.
        match config {
            Some(config) => Ok(Self { warnings: reading.findings, ..config }),
            None => Err(Finding::error(reading.place(""), "the configuration cannot be read").into()),
        }
    }

    fn check(mut keys: Keys, name: &str, reading: &mut Reading<'_>) -> Self {
        checks::read_secrets(&mut keys, reading);
        let auth = auth_checks::auth(&keys, reading);
        let clusters = clusters::clusters(&keys, &auth.users, reading);
        let listeners = checks::listeners(&keys, reading);
        checks::overrides(&keys, &auth.users, reading);
        sense::check(&keys, reading);
        checks::unused_clusters(&keys, &listeners, reading);
        let tls = tls::tls(&keys, reading);
        let kept = Kept::all(&keys.databases);
        let config =
            Self { name: name.to_owned(), clusters, listeners, auth, keys, kept, tls, warnings: Vec::new() };
        config.check_reads(reading);
        config
    }
}
