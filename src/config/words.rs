//! Keys whose value is one of a few words.

use toml::de::DeValue;

use super::{
    nearest::nearest,
    value::{Context, Fault, Value, quoted},
};

/// Declares an enum read from one of its words.
macro_rules! words {
    (
        $(#[doc = $about:literal])+
        $name:ident { $( $(#[doc = $doc:literal])+ $variant:ident = $word:literal ),+ $(,)? }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $( $(#[doc = $doc])+ $variant ),+ }

        impl $name {
            /// The word as it is written in the configuration.
            pub const fn word(self) -> &'static str {
                match self { $( Self::$variant => $word ),+ }
            }
        }

        impl Value for $name {
            fn kind() -> String {
                [$( $word ),+].map(|word| format!("`\"{word}\"`")).join(" or ")
            }
            fn read(value: &DeValue<'_>, _: Context<'_>) -> Result<Self, Fault> {
                let words = [$( $word ),+];
                let text = value.as_str().ok_or_else(|| Fault::not_a(&one_of(&words), value))?;
                match text {
                    $( $word => Ok(Self::$variant), )+
                    _ => Err(unknown(text, &words)),
                }
            }
            fn show(&self) -> String {
                quoted(self.word())
            }
        }
    };
}

fn one_of(words: &[&str]) -> String {
    words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" or ")
}

fn unknown(text: &str, words: &[&str]) -> Fault {
    let fault = Fault::new(format!("`{text}` is none of {}", one_of(words)));
    match nearest(text, words.iter().copied()) {
        Some(word) => fault.help(format!("did you mean \"{word}\"?")),
        None => fault,
    }
}

words! {
    /// Who says which member leads. Named as Patroni names them.
    StoreKind {
        /// etcd through its v3 API.
        Etcd3 = "etcd3",
        /// etcd through its v2 API.
        Etcd = "etcd",
        /// Consul.
        Consul = "consul",
        /// ZooKeeper.
        ZooKeeper = "zookeeper",
        /// Kubernetes.
        Kubernetes = "kubernetes",
        /// Patroni's REST API.
        Patroni = "patroni",
        /// Stolon's record in etcd (v3 API).
        Stolon = "stolon",
        /// Nobody: the servers themselves are asked. There is no fencing then.
        None = "none",
    }
}

words! {
    /// Whether a header of the PROXY protocol comes first.
    ProxyProtocol {
        /// None does.
        Off = "off",
        /// One may.
        Optional = "optional",
        /// One must.
        Required = "required",
    }
}

words! {
    /// Which header of the PROXY protocol is sent first.
    ProxyHeader {
        /// None.
        Off = "off",
        /// Version 1, a line of text.
        V1 = "v1",
        /// Version 2, binary.
        V2 = "v2",
    }
}

words! {
    /// Versions of PostgreSQL's protocol. Named as libpq names them.
    MaxProtocol {
        /// Every PostgreSQL knows it.
        V3_0 = "3.0",
        /// PostgreSQL 18: longer cancel keys.
        V3_2 = "3.2",
    }
}

words! {
    /// Where the connections of a listener go.
    RouteKind {
        /// To the leader.
        Write = "write",
        /// To replicas within the lag bounds.
        Read = "read",
        /// Statements that only read, and read-only transactions, to replicas; the rest to the leader.
        Split = "split",
    }
}

words! {
    /// What a listener with `route = "split"` does with the statements of a user or database.
    SplitRoute {
        /// As each statement says.
        Auto = "auto",
        /// To replicas unless a statement says that it writes.
        Read = "read",
        /// To the leader.
        Write = "write",
    }
}

words! {
    /// What a read must see.
    Consistency {
        /// What any replica that qualifies has.
        Eventual = "eventual",
        /// What its own client has committed.
        Session = "session",
        /// What any client of this pgsteer was told to be committed.
        Global = "global",
    }
}

words! {
    /// When a server goes back to its pool.
    PoolMode {
        /// After each transaction.
        Transaction = "transaction",
        /// When the client leaves.
        Session = "session",
        /// After each statement; transactions of several statements are refused.
        Statement = "statement",
    }
}

words! {
    /// What is thought of code whose effects no text shows.
    OpaqueFunctions {
        /// It leaves nothing behind that asking the server would not find.
        Trust = "trust",
        /// It may leave anything behind: its client keeps its server.
        Pin = "pin",
    }
}

words! {
    /// What a read does when no replica qualifies.
    Fallback {
        /// Waits up to `replica_wait_timeout`, then fails.
        Wait = "wait",
        /// Goes to the leader, read-only enforced, on at most `fallback_connections_max` connections.
        Leader = "leader",
        /// Fails at once.
        Error = "error",
    }
}

words! {
    /// How reads are spread over the replicas that qualify.
    Balance {
        /// One after the other, each as often as its share says.
        RoundRobin = "round_robin",
        /// To the one with the fewest requests under way for its share.
        LeastConnections = "least_connections",
        /// Of two by chance to the one whose answers come sooner.
        Latency = "latency",
    }
}

words! {
    /// Which reads another replica runs again.
    RetryReads {
        /// None.
        Off = "off",
        /// Those under which a replica was lost.
        Lost = "lost",
        /// And those that were in the way of what it replays (40001).
        Conflicts = "conflicts",
    }
}

words! {
    /// What is thought of synchronous standbys.
    SyncStandbys {
        /// They are like others.
        Any = "any",
        /// They come first.
        Prefer = "prefer",
        /// They come last.
        Avoid = "avoid",
        /// Nobody else will do.
        Only = "only",
        /// They will not do.
        Never = "never",
    }
}

words! {
    /// How clients prove who they are.
    AuthType {
        /// SCRAM-SHA-256 (RFC 5802, RFC 7677).
        ScramSha256 = "scram-sha-256",
        /// PostgreSQL's md5 challenge.
        Md5 = "md5",
        /// The password in clear text.
        Plain = "plain",
        /// The operating system says who is at the other end of a Unix socket.
        Peer = "peer",
        /// By a certificate whose common name is the user.
        Cert = "cert",
        /// Not at all.
        Trust = "trust",
        /// As the rules in `auth_hba_file` say.
        Hba = "hba",
        /// A directory judges the password (LDAP); `auth_options` says which and how.
        Ldap = "ldap",
        /// The operating system's authentication modules judge the password (PAM), in a pgsteer that was built with the
        /// cargo feature `pam`.
        Pam = "pam",
        /// A bearer token names the user (SASL OAUTHBEARER); `auth_options` says whose and for what.
        Oauth = "oauth",
        /// Nobody is let in.
        Reject = "reject",
    }
}

words! {
    /// Which events are logged.
    LogLevel {
        /// What failed.
        Error = "error",
        /// And what is odd.
        Warn = "warn",
        /// And what happens: topology changes, connections.
        Info = "info",
        /// And why.
        Debug = "debug",
        /// And every step.
        Trace = "trace",
    }
}

words! {
    /// What a log line looks like.
    LogFormat {
        /// For people.
        Text = "text",
        /// For machines: one JSON object a line.
        Json = "json",
    }
}

words! {
    /// What clients must do about TLS. PgBouncer's `client_tls_sslmode`.
    ClientSslMode {
        /// TLS is refused.
        Disable = "disable",
        /// A client may use TLS.
        Allow = "allow",
        /// The same.
        Prefer = "prefer",
        /// Clients must use TLS.
        Require = "require",
        /// And show a certificate of an authority.
        VerifyCa = "verify-ca",
        /// The same.
        VerifyFull = "verify-full",
    }
}

words! {
    /// How TLS may begin on connections of clients.
    ClientNegotiation {
        /// With an SSLRequest or at once.
        Any = "any",
        /// With an SSLRequest only.
        Postgres = "postgres",
        /// At once only, as PostgreSQL 17 has it.
        Direct = "direct",
    }
}

words! {
    /// What is wanted of servers about TLS. libpq's `sslmode`.
    ServerSslMode {
        /// No TLS.
        Disable = "disable",
        /// TLS where the server does not let us in without.
        Allow = "allow",
        /// TLS where the server has it.
        Prefer = "prefer",
        /// TLS.
        Require = "require",
        /// And a certificate of an authority.
        VerifyCa = "verify-ca",
        /// That is made out to the host.
        VerifyFull = "verify-full",
    }
}

words! {
    /// How TLS begins on connections to servers. libpq's `sslnegotiation`.
    ServerNegotiation {
        /// With an SSLRequest.
        Postgres = "postgres",
        /// At once; PostgreSQL 17 and later.
        Direct = "direct",
    }
}

words! {
    /// Whether logins to servers are bound to the connection. libpq's `channel_binding`.
    ServerBinding {
        /// They are not.
        Disable = "disable",
        /// Where the server offers it.
        Prefer = "prefer",
        /// They must be.
        Require = "require",
    }
}

words! {
    /// A version of TLS. Older ones are not spoken.
    TlsVersion {
        /// TLS 1.2.
        Tls12 = "tlsv1.2",
        /// TLS 1.3.
        Tls13 = "tlsv1.3",
    }
}
