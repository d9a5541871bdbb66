//! More connections than there are places for, and those that take too long: every client hears why.

use std::time::Duration;

use pgsteer::wire::{
    error::ServerError,
    startup::{Protocol, encode_startup},
};
use pgsteer_testkit::eventually;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::{
    common::postgres::Postgres,
    pgsteer::{Pgsteer, prepare},
};

const SOON: Duration = Duration::from_secs(20);
/// Places for those who log in, with `max_client_conn = 1`; and for those who are told that there is none.
const PLACES: usize = 101;
const TOLD: usize = 100;

const TOO_MANY: &str = "53300 sorry, too many clients already";

async fn connect(pgsteer: &Pgsteer) -> TcpStream {
    TcpStream::connect(("127.0.0.1", pgsteer.port)).await.unwrap()
}

fn startup() -> Vec<u8> {
    let mut packet = Vec::new();
    let alice = [("user", "alice"), ("database", "postgres")];
    encode_startup(&mut packet, Protocol::V3_0, alice.into_iter());
    packet
}

/// The error that a connection ends with, or that it just ends.
async fn heard(stream: &mut TcpStream) -> String {
    let mut heard = Vec::new();
    // Whether the end is in due form is not asked.
    let _ = timeout(SOON, stream.read_to_end(&mut heard)).await.expect("it is still connected");
    let mut rest = &heard[..];
    while let [tag, a, b, c, d, ..] = *rest {
        let length = u32::from_be_bytes([a, b, c, d]) as usize + 1;
        if tag == b'E' {
            let said = ServerError::decode(&rest[5..length]).unwrap();
            return format!("{} {}", said.code, said.message);
        }
        rest = &rest[length..];
    }
    "nothing".to_owned()
}

#[tokio::test]
async fn beyond_the_last_place_a_client_hears_that_there_are_too_many() {
    let server = Postgres::start("host all all 127.0.0.1/32 trust\n");
    prepare(&server, "postgres", "create role alice login").await;
    let config = "auth_type = \"trust\"\n[pool]\nmax_client_conn = 1\nclient_login_timeout = \"1h\"\n";
    let pgsteer = Pgsteer::start(&server, config, &[]).await;
    // Those who have not said anything yet have every place.
    let mut silent = Vec::new();
    for _ in 0..PLACES {
        silent.push(connect(&pgsteer).await);
    }
    // Once the workers have come to all of them, who says nothing is told within a second.
    let is_told = async || timeout(SOON / 4, heard(&mut connect(&pgsteer).await)).await.ok();
    assert_eq!(eventually("every place is taken", SOON, is_told).await.unwrap(), TOO_MANY);
    // Those who say what they want hear so, even when more come at once than can be listened to.
    let mut crowd = Vec::new();
    for _ in 0..TOLD * 3 {
        crowd.push(connect(&pgsteer).await);
    }
    // Every third says nothing and is told all the same.
    for (index, stream) in crowd.iter_mut().enumerate() {
        if index % 3 == 0 {
            assert_eq!(heard(stream).await, TOO_MANY, "{}", pgsteer.log());
            continue;
        }
        // It may have been told already.
        let _ = stream.write_all(&startup()).await;
        assert_eq!(heard(stream).await, TOO_MANY, "{}", pgsteer.log());
    }
    // With the crowd gone everything is as before.
    drop(silent);
    let is_in = async || pgsteer.connect("alice", "", "postgres").await.ok();
    eventually("a place", SOON, is_in).await.unwrap();
}

/// `client_login_timeout` counts from the connection's beginning, not anew from each message.
#[tokio::test]
async fn a_login_that_takes_too_long_is_told_so() {
    let server = Postgres::start("host all all 127.0.0.1/32 trust\n");
    let users = [("users.txt", "\"alice\" \"secret\"\n")];
    let config = "auth_file = \"users.txt\"\n[pool]\nclient_login_timeout = \"4s\"\n";
    let pgsteer = Pgsteer::start(&server, config, &users).await;
    // As PostgreSQL: who has not said what he wants is told nothing, however slowly he says it.
    let mute = async {
        let mut stream = connect(&pgsteer).await;
        heard(&mut stream).await
    };
    let dribbling = async {
        let mut stream = connect(&pgsteer).await;
        for byte in startup() {
            if stream.write_all(&[byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        heard(&mut stream).await
    };
    let (mut late, mut prompt) = (connect(&pgsteer).await, connect(&pgsteer).await);
    let late = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        late.write_all(&startup()).await.unwrap();
        // Would it count from here, it would be a second more.
        timeout(Duration::from_secs(3), heard(&mut late)).await.unwrap_or_default()
    };
    let prompt = async {
        prompt.write_all(&startup()).await.unwrap();
        heard(&mut prompt).await
    };
    let (mute, dribbling, late, prompt) = tokio::join!(mute, dribbling, late, prompt);
    assert_eq!((&*mute, &*dribbling), ("nothing", "nothing"));
    let too_slow = "57014 canceling authentication due to timeout";
    assert_eq!((&*late, &*prompt), (too_slow, too_slow));
    assert!(pgsteer.metric("pgsteer_login_failures_total", &[("stage", "timeout")]).await >= 4.0);
}
