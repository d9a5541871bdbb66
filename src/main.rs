//! The command line.

use std::{collections::BTreeSet, fmt::Write as _, io::Write, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};
use pgsteer::{
    admin::operator,
    auth::{
        self,
        feeds::{ServerMethod, feeds},
        rules::{Method, Rules},
    },
    config::{self, Config, SecretKind, ServerAddress, Source},
    metrics, proxy,
};

/// One connection string in front of a PostgreSQL cluster that Patroni runs: a connection pool and a router that
/// follows the leader, in one process.
#[derive(Parser)]
#[command(version, arg_required_else_help = true, after_help = AFTER_HELP)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Examples:
  pgsteer check --config pgsteer.toml
  pgsteer run --config pgsteer.toml
  pgsteer switchover --config pgsteer.toml --candidate db2
  pgsteer run --hosts db1:5432,db2:5432,db3:5432 --auth-file userlist.txt

Signals while it runs:
  SIGHUP   read the configuration again; a file with an error changes nothing
  SIGTERM  take no new clients, let transactions finish (drain_timeout), end
  SIGINT   end sooner

All keys of the configuration: `pgsteer reference`; all metrics: `pgsteer reference --metrics`.";

#[derive(Subcommand)]
enum Command {
    /// Serve clients, until told to stop.
    #[command(after_help = RUN_HELP)]
    Run(Where),
    /// Validate a configuration and print what was understood: clusters, listeners, users, settings, warnings.
    Check(Where),
    /// Have the running pgsteer change the leader, without an error for any transaction that ends in time.
    #[command(after_help = SWITCHOVER_HELP)]
    Switchover(SwitchoverOptions),
    /// Print the reference of every configuration key (Markdown).
    Reference {
        /// Instead: the list of every metric.
        #[arg(long)]
        metrics: bool,
    },
}

const SWITCHOVER_HELP: &str = "\
The pgsteer that runs with this configuration is told over its [http] address, so that needs a token. It looks at the
candidate's lag, has the leader checkpoint (if the probe's user has the role pg_checkpoint), lets new transactions wait
and those that run end, asks Patroni, and goes on as soon as the new leader takes writes. If Patroni refuses, it goes on with
the old one. Other pgsteers hold their transactions when Patroni has written the request to its store.";

/// Which change of leader.
#[derive(Args)]
struct SwitchoverOptions {
    /// The configuration file (TOML) that the running pgsteer has.
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,

    /// The cluster; may be left out where there is one.
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,

    /// Who is to lead [default: the synchronous standby, or else the one that is least behind]
    #[arg(long, value_name = "MEMBER")]
    candidate: Option<String>,

    /// How long running transactions may take before they are cut off [default: 5s]
    #[arg(long, value_name = "DURATION")]
    wait: Option<String>,
}

const RUN_HELP: &str = "\
Without a file (--hosts), no store is asked: the servers themselves say who leads, and a majority of them must
answer. There is no fencing then. Writing is served on 127.0.0.1:6432, reading on 127.0.0.1:6433, metrics and
status on http://127.0.0.1:9930. The servers are asked as the role `pgsteer` (or --probe-user), which needs LOGIN
and pg_monitor:

  CREATE ROLE pgsteer LOGIN PASSWORD '…' IN ROLE pg_monitor;

Its password comes from --probe-password-file, from PGSTEER_PROBE_PASSWORD, or from the auth file if that has it
as a plain password.";

/// Where the configuration comes from.
#[derive(Args)]
#[command(group = clap::ArgGroup::new("source").required(true).args(["config", "hosts"]))]
struct Where {
    /// The configuration file (TOML).
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Instead of a file: the servers of the cluster, host:port or /socket/folder:port, separated by commas.
    #[arg(long, value_name = "HOSTS", value_delimiter = ',', requires = "auth_file")]
    hosts: Vec<ServerAddress>,

    /// With --hosts: users and their secrets in PgBouncer's format, `"user" "secret"` on each line.
    #[arg(long, value_name = "FILE", requires = "hosts", conflicts_with = "config")]
    auth_file: Option<PathBuf>,

    /// With --hosts: the role that asks the servers how they are [env: PGSTEER_PROBE_USER] [default: pgsteer]
    #[arg(long, value_name = "ROLE", requires = "hosts", conflicts_with = "config")]
    probe_user: Option<String>,

    /// With --hosts: a file that holds that role's password.
    #[arg(long, value_name = "FILE", requires = "hosts", conflicts_with = "config")]
    probe_password_file: Option<PathBuf>,
}

impl Where {
    fn source(self) -> Source {
        match self.config {
            Some(path) => Source::File(path),
            None => Source::Hosts(config::Hosts {
                hosts: self.hosts,
                auth_file: self.auth_file.unwrap_or_default(),
                probe_user: self.probe_user.or_else(|| std::env::var("PGSTEER_PROBE_USER").ok()),
                probe_password_file: self.probe_password_file,
            }),
        }
    }
}

fn main() -> ExitCode {
    match CommandLine::parse().command {
        Command::Run(source) => match proxy::run(source.source()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                complain(&error.to_string());
                ExitCode::FAILURE
            }
        },
        Command::Check(source) => check(&source.source()),
        Command::Switchover(options) => switch_over(options),
        Command::Reference { metrics: false } => print(&config::reference()),
        Command::Reference { metrics: true } => print(&metrics::reference()),
    }
}

/// Says what was understood on standard output, and what is odd or wrong on standard error.
fn check(source: &Source) -> ExitCode {
    match source.load() {
        Ok(config) => {
            let rules = match proxy::rules(&config) {
                Ok(rules) => rules,
                Err(wrong) => {
                    complain(&wrong.to_string());
                    return ExitCode::FAILURE;
                }
            };
            for warning in config.warnings() {
                complain(&format!("{}\n", warning.render()));
            }
            for odd in proxy::odd_rules(&config, &rules) {
                complain(&format!("warning: {odd}\n"));
            }
            print(&format!(
                "{} is valid.\n\n{}\n{}",
                config.name,
                config.describe(),
                server_logins(&config, &rules)
            ))
        }
        Err(invalid) => {
            complain(&invalid.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Orders a change of leader, and says how it goes.
fn switch_over(options: SwitchoverOptions) -> ExitCode {
    let SwitchoverOptions { config, cluster, candidate, wait } = options;
    let config = match Source::File(config).load() {
        Ok(config) => config,
        Err(invalid) => {
            complain(&invalid.to_string());
            return ExitCode::FAILURE;
        }
    };
    let order = operator::Order { cluster, candidate, wait };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = runtime.map_err(|error| error.to_string()).and_then(|runtime| {
        runtime.block_on(operator::switch_over(&config, &order, |step| {
            print(&format!("{step}\n"));
        }))
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            complain(&why);
            ExitCode::FAILURE
        }
    }
}

/// Which servers the users can be logged in to, by what is known of them. A forced `password` of a database, and a
/// database's forced `user`, stand apart.
fn server_logins(config: &Config, rules: &Rules) -> String {
    let mut methods = Vec::new();
    for rule in rules.all() {
        let method = match &rule.method {
            Method::Secret(auth_type) => *auth_type,
            // As with trust, the client shows nothing that could log in elsewhere.
            Method::Certificate | Method::Oauth(_) => auth::AuthType::Trust,
            Method::Peer => auth::AuthType::Peer,
            // The password is judged elsewhere: see below.
            Method::Ldap(_) | Method::Pam(_) | Method::Reject => continue,
        };
        if !methods.contains(&method) {
            methods.push(method);
        }
    }
    let mut text: String = methods.into_iter().map(|method| server_logins_after(method, config)).collect();
    if rules.all().iter().any(|rule| matches!(rule.method, Method::Ldap(_) | Method::Pam(_))) {
        text.push_str(OUTSIDE);
    }
    text
}

const OUTSIDE: &str = "\
Users whose password is judged elsewhere (ldap, pam) log in to servers by their secret here, if it can, else by that password:
the servers must take the same one.
";

/// The same for users who log in to us by this method.
fn server_logins_after(client: auth::AuthType, config: &Config) -> String {
    let mut kinds: BTreeSet<_> = config.auth.users.iter().map(|(_, secret)| SecretKind::of(secret)).collect();
    if kinds.is_empty() {
        kinds.insert(SecretKind::Empty);
    }
    let mut text = format!(
        "Servers that users can be logged in to who log in by {client}, by their secret here and the server's \
         pg_hba.conf\n"
    );
    let servers = [
        ("scram-sha-256", ServerMethod::Scram),
        ("md5", ServerMethod::Md5),
        ("password", ServerMethod::Plain),
        ("trust", ServerMethod::Trust),
    ];
    for kind in kinds {
        let (name, secret) = match kind {
            SecretKind::Scram => ("SCRAM verifier", auth::secrets::SecretKind::Scram),
            SecretKind::Md5 => ("md5", auth::secrets::SecretKind::Md5),
            SecretKind::Plain => ("plain password", auth::secrets::SecretKind::Password),
            SecretKind::Empty => ("no secret", auth::secrets::SecretKind::Missing),
        };
        let mut why = BTreeSet::new();
        let able = servers.map(|(server, method)| match feeds(client, secret, method) {
            Ok(()) => format!("{server}: yes"),
            Err(sentence) => {
                why.insert(sentence);
                format!("{server}: no")
            }
        });
        let _ = writeln!(text, "  {name:<16}{}", able.join("   "));
        for sentence in why {
            let _ = writeln!(text, "{:18}{sentence}", "");
        }
    }
    text
}

/// A closed pipe (`| head`) is no failure worth a message, but it is no success either.
fn print(text: &str) -> ExitCode {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Nobody is left to be told if standard error is closed.
fn complain(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
