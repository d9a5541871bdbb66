//! Replication connections: what passes, and what ends them.

use std::time::Duration;

use pgsteer::{client::registry::Order, session::replication::Ended};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    task::JoinHandle,
};

use crate::world::{Setup, World};

const READY: &[u8] = b"Z\0\0\0\x05I";
const BOTH: &[u8] = b"W\0\0\0\x07\0\0\0";
const DATA: &[u8] = b"d\0\0\0\x08wxyz";
const ASK: &[u8] = b"Q\0\0\0\x06x\0";

/// The world's `leader_wait_timeout`, without a second.
const ALMOST_ALL: Duration = Duration::from_secs(59);

/// A connection, its world, and how it ends.
struct Bench {
    world: World,
    client: DuplexStream,
    server: DuplexStream,
    ended: JoinHandle<Ended>,
}

impl Bench {
    fn new(as_leader: bool) -> Self {
        let mut world = World::new(&Setup::default());
        let (client, server, ended) = world.replication("C", as_leader);
        Self { world, client, server, ended }
    }

    async fn up(&mut self, bytes: &[u8]) {
        self.client.write_all(bytes).await.unwrap();
        heard(&mut self.server, bytes).await;
    }

    async fn down(&mut self, bytes: &[u8]) {
        self.server.write_all(bytes).await.unwrap();
        heard(&mut self.client, bytes).await;
    }

    /// How it has ended by now.
    async fn end(self) -> String {
        let ended = tokio::time::timeout(Duration::from_secs(1), self.ended).await;
        match ended.expect("it goes on").unwrap() {
            Ended::WithError(error) => {
                format!("{} {}", error.code, error.detail.unwrap_or(error.message))
            }
            other => format!("{other:?}"),
        }
    }

    /// Whether it goes on, without anything having been heard at either end.
    async fn goes_on(&mut self) -> bool {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let mut nothing = [0];
        let quiet = Duration::from_millis(10);
        tokio::time::timeout(quiet, self.client.read(&mut nothing)).await.is_err()
            && tokio::time::timeout(quiet, self.server.read(&mut nothing)).await.is_err()
            && !self.ended.is_finished()
    }
}

async fn heard(by: &mut DuplexStream, expected: &[u8]) {
    let mut bytes = vec![0; expected.len()];
    tokio::time::timeout(Duration::from_secs(1), by.read_exact(&mut bytes)).await.unwrap().unwrap();
    assert_eq!(bytes, expected);
}

#[tokio::test(start_paused = true)]
async fn everything_passes_and_the_end_of_one_is_the_end_of_both() {
    let mut bench = Bench::new(true);
    bench.up(ASK).await;
    bench.down(&[BOTH, DATA].concat()).await;
    bench.up(DATA).await;
    // More than the buffers hold, one way and the other at once.
    let long = vec![7; 300_000];
    let (mut client_reads, mut client_writes) = tokio::io::split(bench.client);
    let (mut server_reads, mut server_writes) = tokio::io::split(bench.server);
    let (mut down, mut up) = (vec![0; long.len()], vec![0; long.len()]);
    let (a, b, c, d) = tokio::join!(
        client_writes.write_all(&long),
        server_writes.write_all(&long),
        client_reads.read_exact(&mut down),
        server_reads.read_exact(&mut up),
    );
    assert!(a.is_ok() && b.is_ok() && c.is_ok() && d.is_ok());
    assert!(down == long && up == long);
    drop((client_reads, client_writes));
    assert!(matches!(bench.ended.await, Ok(Ended::ByClient)));

    let mut bench = Bench::new(true);
    bench.server.write_all(DATA).await.unwrap();
    drop(bench.server);
    heard(&mut bench.client, DATA).await;
    assert!(matches!(bench.ended.await, Ok(Ended::ByServer)));
}

#[tokio::test(start_paused = true)]
async fn nothing_goes_to_a_leader_without_the_right_to_write() {
    let mut bench = Bench::new(true);
    bench.world.fence("closed");
    bench.client.write_all(ASK).await.unwrap();
    assert!(bench.goes_on().await);
    // What it says is not kept back.
    bench.down(DATA).await;
    bench.world.fence("open");
    heard(&mut bench.server, ASK).await;

    // A replica needs no such right.
    let mut bench = Bench::new(false);
    bench.world.fence("closed");
    bench.up(ASK).await;
}

/// Whoever has stood still finds what a server has said that may have been deposed meanwhile.
#[tokio::test(start_paused = true)]
async fn what_a_leader_says_that_nobody_watches_is_not_passed_on() {
    let mut bench = Bench::new(true);
    bench.up(ASK).await;
    bench.world.fence("unattended");
    bench.server.write_all(&[BOTH, DATA].concat()).await.unwrap();
    assert!(bench.goes_on().await);
    // What the client sends has the right to be sent, or not.
    bench.up(DATA).await;
    assert!(bench.goes_on().await);
    bench.world.fence("attended");
    heard(&mut bench.client, &[BOTH, DATA].concat()).await;
    bench.down(DATA).await;

    // It is told nothing if the leader was deposed, nor if the server has gone meanwhile: what it said before comes first.
    for goes in [false, true] {
        let mut bench = Bench::new(true);
        bench.up(ASK).await;
        bench.world.fence("unattended");
        bench.server.write_all(READY).await.unwrap();
        assert!(bench.goes_on().await);
        if goes {
            bench.server.shutdown().await.unwrap();
            drop(std::mem::replace(&mut bench.server, tokio::io::duplex(1).0));
            bench.client.write_all(ASK).await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
            assert!(!bench.ended.is_finished());
        }
        bench.world.route("write=b deposed=a");
        let mut said = Vec::new();
        let ended = bench.ended.await.unwrap();
        assert!(
            matches!(&ended, Ended::WithError(error) if error.detail.as_ref().is_some_and(|why| why.contains("does not lead"))),
            "{ended:?}"
        );
        assert!(bench.client.read_to_end(&mut said).await.is_ok_and(|_| said.is_empty()), "{said:?}");
    }

    // A replica is in no office.
    let mut bench = Bench::new(false);
    bench.world.fence("unattended");
    bench.down(DATA).await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_nobody_watches_is_not_waited_for_for_ever() {
    let mut bench = Bench::new(true);
    bench.up(ASK).await;
    // Each wait has all its time.
    for _ in 0..2 {
        bench.world.fence("unattended");
        bench.server.write_all(READY).await.unwrap();
        tokio::time::sleep(ALMOST_ALL).await;
        bench.world.fence("attended");
        heard(&mut bench.client, READY).await;
    }
    bench.world.fence("unattended");
    bench.server.write_all(READY).await.unwrap();
    tokio::time::sleep(ALMOST_ALL).await;
    assert!(bench.goes_on().await);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(bench.end().await, "57P01 a was not seen to lead the cluster again in time");
}

#[tokio::test(start_paused = true)]
async fn a_deposed_leader_is_cut_off() {
    let mut bench = Bench::new(true);
    bench.up(ASK).await;
    bench.down(BOTH).await;
    bench.world.route("write=b deposed=a");
    assert_eq!(bench.end().await, "57P01 a does not lead the cluster any more");

    // What it says behind that is not passed on, and a message that was begun cannot be followed by an error.
    let mut bench = Bench::new(true);
    bench.up(ASK).await;
    bench.down(&DATA[..7]).await;
    bench.world.route("write=b deposed=a");
    let _taken = bench.server.write_all(DATA).await;
    let mut rest = Vec::new();
    let ended = bench.ended.await.unwrap();
    assert!(matches!(&ended, Ended::Garbled(why) if why.contains("does not lead")), "{ended:?}");
    assert!(bench.client.read_to_end(&mut rest).await.is_ok_and(|_| rest.is_empty()), "{rest:?}");

    // A replica goes with its own deposition, not with its leader's.
    let mut bench = Bench::new(false);
    bench.world.route("write=b read=a");
    bench.up(ASK).await;
    // Nor does it matter that it lags too far behind for reads.
    bench.world.route("write=b");
    bench.up(ASK).await;
    bench.world.route("write=b deposed=a");
    assert_eq!(bench.end().await, "57P01 a was deposed");
}

#[tokio::test(start_paused = true)]
async fn a_command_is_let_finish_and_a_stream_is_not() {
    let shutdown = "57P01 pgsteer is shutting down.";
    let idle = Bench::new(true);
    idle.world.tell("C", Order::Drain);
    assert_eq!(idle.end().await, shutdown);

    let mut command = Bench::new(true);
    command.up(ASK).await;
    command.down(DATA).await;
    command.world.tell("C", Order::Drain);
    assert!(command.goes_on().await);
    command.down(&[DATA, READY].concat()).await;
    assert_eq!(command.end().await, shutdown);

    let mut stream = Bench::new(true);
    stream.up(ASK).await;
    stream.down(&[BOTH, DATA].concat()).await;
    stream.world.tell("C", Order::Drain);
    assert_eq!(stream.end().await, shutdown);

    let mut haste = Bench::new(true);
    haste.up(ASK).await;
    haste.world.tell("C", Order::Terminate);
    assert_eq!(haste.end().await, shutdown);

    // Time limits are for sessions.
    let mut slow = Bench::new(true);
    for order in [Order::IdleTimeout, Order::TransactionTimeout, Order::QueryTimeout, Order::StopWaiting] {
        slow.world.tell("C", order);
        slow.up(ASK).await;
        slow.down(DATA).await;
    }
    assert!(slow.goes_on().await);
}
