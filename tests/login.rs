//! Logging in, querying and cancelling against a real PostgreSQL, and clients' SCRAM keys passed through to it.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::{process::Command, sync::Arc, time::Duration};

use common::postgres::{Postgres, binaries, free_port};

use pgsteer::{
    auth::{
        AuthType,
        mock::Mock,
        rules::Rules,
        secrets::{Credential, Password, UserSecret, Users},
    },
    client::{Authenticator, Caller, Greeting, Hello, Outside, login},
    clock::Clock,
    net::{Address, NetDialer, Peer, Stream},
    server::{Approach, ConnectError, Connected, QueryError, ServerLogin, cancel, connect, simple_query},
    wire::{
        error::SqlState,
        message::{encode_backend_key, encode_parameter_status, encode_ready_for_query},
        startup::Protocol,
    },
};
use tokio::io::AsyncWriteExt as _;

const SETUP: &str = "
    set password_encryption = 'scram-sha-256';
    create role by_scram login password 'Grüße';
    create role by_plain login password 'secret';
    create role by_trust login;
    set password_encryption = 'md5';
    create role by_md5 login password 'secret';
";

const METHODS: [(&str, &str); 4] = [
    ("scram-sha-256", "by_scram"),
    ("password", "by_plain"),
    ("md5", "by_md5"),
    ("trust", "by_trust,postgres"),
];

/// A server that asks its users for proof in every way.
struct Server(Postgres);

impl Server {
    async fn start() -> Self {
        let hba = METHODS
            .map(|(method, users)| {
                format!("local all {users} {method}\nhost all {users} 127.0.0.1/32 {method}\n")
            })
            .concat();
        let server = Self(Postgres::start(&hba));
        let mut admin = server.open("postgres", Credential::None).await.unwrap();
        simple_query(&mut admin.stream, SETUP).await.unwrap();
        server
    }

    fn tcp(&self) -> Address {
        Address::tcp("127.0.0.1", self.0.port())
    }

    fn unix(&self) -> Address {
        Address::Unix { folder: self.0.folder().into(), port: self.0.port() }
    }

    async fn open(&self, user: &str, credential: Credential) -> Result<Connected, ConnectError> {
        connect(&NetDialer::default(), &self.tcp(), &as_user(user, credential)).await
    }
}

fn as_user(user: &str, credential: Credential) -> ServerLogin {
    let parameters = vec![("application_name".to_owned(), "login test".to_owned())];
    ServerLogin {
        user: user.to_owned(),
        database: "postgres".to_owned(),
        parameters,
        credential,
        protocol: Protocol::NEWEST,
        approach: Approach::default(),
    }
}

fn password(text: &str) -> Credential {
    Credential::Password(Password::new(text.as_bytes()))
}

/// The only row's values.
async fn ask(stream: &mut Stream, sql: &str) -> Vec<Option<String>> {
    let answer = simple_query(stream, sql).await.unwrap();
    assert_eq!(answer.rows.len(), 1, "{sql}");
    answer.rows.into_iter().next().unwrap()
}

#[tokio::test]
async fn against_a_real_postgresql() {
    let server = Server::start().await;
    every_method(&server).await;
    refusals(&server).await;
    queries(&server).await;
    cancelling(&server).await;
    clients_of_ours(&server).await;
}

async fn every_method(server: &Server) {
    let md5 = UserSecret::parse(&secret_of(server, "by_md5").await).as_credential();
    let stretched = password("Grüße");
    for (user, credential) in [
        ("by_scram", stretched.clone()),
        ("by_scram", stretched),
        ("by_plain", password("secret")),
        ("by_md5", password("secret")),
        ("by_md5", md5),
        ("by_trust", Credential::None),
        ("by_trust", password("needless")),
    ] {
        for address in [server.tcp(), server.unix()] {
            let login = as_user(user, credential.clone());
            let mut connected = connect(&NetDialer::default(), &address, &login).await.unwrap();
            let me = ask(&mut connected.stream, "select current_user, null, pg_backend_pid()").await;
            assert_eq!(me, [Some(user.to_owned()), None, Some(connected.key.pid.to_string())]);
            let reported = |name: &str| {
                connected.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
            };
            assert_eq!(reported("application_name"), Some("login test"));
            assert_eq!(reported("server_encoding"), Some("UTF8"));
        }
    }
}

async fn secret_of(server: &Server, user: &str) -> String {
    let mut admin = server.open("postgres", Credential::None).await.unwrap();
    let sql = format!("select rolpassword from pg_authid where rolname = '{user}'");
    ask(&mut admin.stream, &sql).await.remove(0).unwrap()
}

async fn refusals(server: &Server) {
    for user in ["by_scram", "by_plain", "by_md5"] {
        match server.open(user, password("wrong")).await {
            Err(error @ ConnectError::Refused(_)) => {
                let told = error.to_client("m1");
                assert_eq!(told.code, SqlState::INVALID_PASSWORD);
                assert_eq!(told.message, format!("password authentication failed for user \"{user}\""));
                assert!(!error.is_suspicious() && !error.is_transient());
            }
            other => panic!("{user}: {:?}", other.err()),
        }
        let none = server.open(user, Credential::None).await.err();
        assert!(matches!(none, Some(ConnectError::Credential(_))), "{user}: {none:?}");
    }
    let lost = ServerLogin { database: "nowhere".to_owned(), ..as_user("by_trust", Credential::None) };
    match connect(&NetDialer::default(), &server.tcp(), &lost).await {
        Err(ConnectError::Refused(error)) => assert_eq!(error.code, SqlState::INVALID_CATALOG_NAME),
        other => panic!("{:?}", other.err()),
    }
    let free = free_port();
    let login = as_user("by_trust", Credential::None);
    let nobody =
        connect(&NetDialer::default(), &Address::tcp("127.0.0.1", free), &login).await.err().unwrap();
    assert!(nobody.is_suspicious() && nobody.is_transient(), "{nobody:?}");
}

async fn queries(server: &Server) {
    let mut connected = server.open("by_trust", Credential::None).await.unwrap();
    let stream = &mut connected.stream;
    let several =
        "begin; set time zone 'Asia/Tokyo'; do $$begin raise notice 'x'; end$$; values ('a'), ('b')";
    let answer = simple_query(stream, several).await.unwrap();
    assert_eq!(answer.rows, [[Some("a".to_owned())], [Some("b".to_owned())]]);
    assert_eq!(answer.parameters, [("TimeZone".to_owned(), "Asia/Tokyo".to_owned())]);
    assert_eq!(answer.status, b'T');
    match simple_query(stream, "select 1; select no_such_column").await {
        Err(QueryError::Server(error)) => assert_eq!(error.code.as_str(), "42703"),
        other => panic!("{other:?}"),
    }
    assert_eq!(simple_query(stream, "rollback").await.unwrap().status, b'I');
    assert_eq!(simple_query(stream, "").await.unwrap().rows, Vec::<Vec<_>>::new());
    let long = ask(stream, "select repeat('x', 500000)").await;
    assert_eq!(long[0].as_ref().map(String::len), Some(500_000));
    assert!(matches!(simple_query(stream, "copy (select 1) to stdout").await, Err(QueryError::Broken(_))));

    let mut victim = server.open("by_trust", Credential::None).await.unwrap();
    let suicide = "select pg_terminate_backend(pg_backend_pid())";
    match simple_query(&mut victim.stream, suicide).await {
        Err(QueryError::Broken(error)) => assert!(error.to_string().contains("57P01"), "{error}"),
        other => panic!("{other:?}"),
    }
}

async fn cancelling(server: &Server) {
    let Connected { mut stream, key, .. } = server.open("by_trust", Credential::None).await.unwrap();
    let asleep =
        format!("select count(*) from pg_stat_activity where pid = {} and wait_event = 'PgSleep'", key.pid);
    let sleeper =
        tokio::spawn(async move { (simple_query(&mut stream, "select pg_sleep(600)").await, stream) });
    let mut admin = server.open("postgres", Credential::None).await.unwrap();
    while ask(&mut admin.stream, &asleep).await != [Some("1".to_owned())] {}
    cancel(&NetDialer::default(), &server.tcp(), &Approach::default(), &key).await.unwrap();
    let (outcome, mut stream) = sleeper.await.unwrap();
    match outcome {
        Err(QueryError::Server(error)) => assert_eq!(error.code, SqlState::QUERY_CANCELED),
        other => panic!("{other:?}"),
    }
    assert_eq!(ask(&mut stream, "select 1").await, [Some("1".to_owned())]);
}

/// Serves clients as a proxy would: logs them in, logs in to the server with what that yielded, and joins the two.
async fn serve(listener: tokio::net::TcpListener, authenticator: Authenticator, address: Address) {
    loop {
        let (socket, peer) = listener.accept().await.unwrap();
        let Ok(Greeting::Startup(arrival)) =
            Hello::read(Caller::new(Stream::Tcp(socket), Peer::Tcp(peer)), None).await
        else {
            continue;
        };
        let Ok(mut client) = login(arrival, &authenticator, Duration::from_secs(60)).await else { continue };
        let server = ServerLogin {
            user: client.user.clone(),
            database: client.database.clone(),
            parameters: Vec::new(),
            credential: client.credential.clone(),
            protocol: Protocol::NEWEST,
            approach: Approach::default(),
        };
        let mut server = match connect(&NetDialer::default(), &address, &server).await {
            Ok(server) => server,
            Err(error) => {
                client.refuse(&error.to_client("m1")).await;
                continue;
            }
        };
        let mut welcome = Vec::new();
        client.encode_authentication_ok(&mut welcome);
        for (name, value) in &server.parameters {
            encode_parameter_status(&mut welcome, name.as_bytes(), value.as_bytes());
        }
        encode_backend_key(&mut welcome, &server.key);
        encode_ready_for_query(&mut welcome, b'I');
        client.stream.write_all(&welcome).await.unwrap();
        // The end of either side is the end of both.
        let _ = tokio::io::copy_bidirectional(&mut client.stream, &mut server.stream).await;
    }
}

async fn clients_of_ours(server: &Server) {
    let mut file = String::from("\"unsynced\" \"pw\"\n");
    for user in ["by_scram", "by_md5", "by_plain"] {
        file.push_str(&format!("\"{user}\" \"{}\"\n", secret_of(server, user).await));
    }
    let secrets = Arc::new(Users::parse(&file).unwrap());
    // What a client logs in by, as whom, with which password; and what comes of it.
    for (auth_type, user, password, outcome) in [
        // The client's own SCRAM keys log in to the server, and no password is known to us.
        (AuthType::ScramSha256, "by_scram", "Grüße", "by_scram"),
        (AuthType::Md5, "by_scram", "Grüße", "by_scram"),
        (AuthType::Md5, "by_md5", "secret", "by_md5"),
        (AuthType::Plain, "by_scram", "Grüße", "by_scram"),
        (AuthType::Plain, "by_md5", "secret", "by_md5"),
        (AuthType::Plain, "by_plain", "secret", "by_plain"),
        // A server that wants the password itself cannot be fed by SCRAM keys.
        (AuthType::ScramSha256, "by_plain", "secret", "28000"),
        (AuthType::ScramSha256, "by_scram", "wrong", "28P01"),
        (AuthType::ScramSha256, "by_md5", "secret", "28P01"),
        (AuthType::ScramSha256, "nobody", "x", "28P01"),
        (AuthType::Md5, "by_md5", "wrong", "28P01"),
        (AuthType::Plain, "nobody", "x", "28P01"),
        // Known to us, unknown to the server: its refusal is passed on.
        (AuthType::ScramSha256, "unsynced", "pw", "28000"),
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let authenticator = Authenticator {
            rules: Arc::new(Rules::simple(auth_type)),
            secrets: secrets.clone(),
            lookup: None,
            patience: None,
            outside: Arc::new(Outside::new(Clock::boot())),
            mock: Mock::new([9; 32]),
        };
        let proxy = tokio::spawn(serve(listener, authenticator, server.tcp()));
        for client in
            [through_tokio_postgres(port, user, password).await, through_psql(port, user, password).await]
        {
            assert!(client.contains(outcome), "{auth_type} {user}: {client}");
        }
        proxy.abort();
    }
}

async fn through_tokio_postgres(port: u16, user: &str, password: &str) -> String {
    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(port).user(user).password(password).dbname("postgres");
    let (client, connection) = match config.connect(tokio_postgres::NoTls).await {
        Ok(connected) => connected,
        Err(error) => return error.code().map_or_else(|| error.to_string(), |code| code.code().to_owned()),
    };
    let connection = tokio::spawn(connection);
    let row = client.query_one("select current_user::text", &[]).await.unwrap();
    drop(client);
    connection.await.unwrap().unwrap();
    row.get(0)
}

/// libpq asks for encryption first (GSSAPI where it has it, then TLS) and takes a refusal.
async fn through_psql(port: u16, user: &str, password: &str) -> String {
    let mut psql = Command::new(binaries().join("psql"));
    psql.args(["-XAt", "-v", "VERBOSITY=verbose", "-c", "select current_user"])
        .env("PGPASSWORD", password)
        .env("PGCLIENTENCODING", "UTF8")
        .arg(format!("host=127.0.0.1 port={port} user={user} dbname=postgres sslmode=prefer"));
    let output = tokio::task::spawn_blocking(move || psql.output().unwrap()).await.unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        return text(&output.stdout);
    }
    // psql does not show the SQLSTATE of a failed connection.
    let error = text(&output.stderr);
    if error.contains(&format!("FATAL:  password authentication failed for user \"{user}\"")) {
        "28P01".to_owned()
    } else if error.contains("could not log in to server \"m1\"") || error.contains("Server \"m1\" refused") {
        "28000".to_owned()
    } else {
        error
    }
}
