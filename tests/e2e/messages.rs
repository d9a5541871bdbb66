//! Messages at random, sent directly and through pgsteer: the answers must be the same, byte by byte.
//!
//! Several clients at once share few servers, and get another one after every transaction. What is not compared: keys
//! and process ids, the numbers of tables (the two sides have a database each), and when within a step a changed setting
//! is reported.
//!
//! `PGSTEER_FUZZ_SECONDS` says for how long (60), `PGSTEER_FUZZ_ROUNDS` for how many seeds at most, `PGSTEER_FUZZ_SEED` where to begin; a difference tells the seed that
//! shows it.

mod generate;
mod peer;

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use generate::{Dice, Life, Step};
use peer::{Heard, Peer};
use pgsteer_testkit::{Door, Release, Result, Single, now};

/// Clients at once.
const CLIENTS: u64 = 4;
/// Steps of one client before it leaves and another comes.
const STEPS: usize = 12;

/// How often somebody else changes a client's table between two of its steps.
const NEIGHBOUR_PERCENT: usize = 15;

/// Two servers for all, and more when those are kept by clients that wait for others.
const OVERRIDES: &str = "[pool]\ndefault_pool_size = 2\nmax_prepared_statements = 5\nrotate_servers = true\n\
    reserve_pool_size = 4\nreserve_pool_timeout = \"200ms\"\n\
    query_wait_timeout = \"30s\"\n[auth]\nauth_type = \"trust\"\n";

/// What makes pgsteer ask.
const QUESTIONS: &str = "[pool]\nconsistency = \"global\"\ncommit_fate = true";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_messages_are_answered_alike() -> Result {
    answered_alike(Release::System).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_messages_are_answered_alike_by_postgresql_18() -> Result {
    answered_alike(Release::Eighteen).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_messages_are_answered_alike_by_postgresql_19() -> Result {
    answered_alike(Release::Nineteen).await
}

/// With questions of our own between the client's messages: where a commit ends, and which one it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_messages_are_answered_alike_among_questions() -> Result {
    answered_alike_with(Release::System, &OVERRIDES.replace("[pool]", QUESTIONS)).await
}

async fn answered_alike(release: Release) -> Result {
    answered_alike_with(release, OVERRIDES).await
}

async fn answered_alike_with(release: Release, overrides: &str) -> Result {
    let single = Single::start(release, Door::Open, "", overrides).await?;
    let superuser = single.server.superuser().await?;
    for database in Side::ALL.map(|side| side.database) {
        superuser.batch_execute(&format!("CREATE DATABASE {database} OWNER trader")).await?;
    }
    let [(_, directly), (_, through)] = single.both();
    let played = tokio::task::spawn_blocking(move || play([directly, through])).await?;
    let steps = played.inspect_err(|_| eprintln!("{}", single.sandbox.logs(40)))?;
    println!("{steps} steps alike");
    ensure!(steps > 20, "only {steps} steps were played");
    Ok(())
}

/// A table changes while it is read, by somebody whom pgsteer does not see: as PostgreSQL would have it, every answer after
/// the change shows it, and nobody hears of a plan that was made before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_the_schema_elsewhere_shows_at_once() -> Result {
    let single = Single::start(Release::System, Door::Open, "", OVERRIDES).await?;
    let superuser = single.server.superuser().await?;
    superuser.batch_execute("CREATE DATABASE through OWNER trader").await?;
    let [(_, directly), (_, through)] = single.both();
    let changed = tokio::task::spawn_blocking(move || -> Result {
        let select = Step::unnamed("select * from changing");
        let mut owner = Peer::connect(directly, "through")?;
        let mut readers = [Peer::connect(through, "through")?, Peer::connect(through, "through")?];
        owner.say("create table changing as select 1 as n")?;
        for columns in 1..=20 {
            for turn in 0..8 {
                let heard = readers[turn % 2].ask(&select)?;
                ensure!(heard.error().is_none(), "{:?}", heard.error());
                ensure!(heard.columns() == [columns, columns], "{:?} instead of {columns}", heard.columns());
            }
            owner.say(&format!("alter table changing add column c{columns} int"))?;
        }
        Ok(())
    });
    changed.await?.inspect_err(|_| eprintln!("{}", single.sandbox.logs(40)))
}

/// What a sequence has done is committed by the Sync behind a query that was sent inside it, and whoever gets that server next
/// finds it sane. (PostgreSQL 18 itself, asked directly, commits nothing there, though it says that the block is over.)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_inside_a_sequence_loses_nothing_on_postgresql_18() -> Result {
    let single = Single::start(Release::Eighteen, Door::Open, "", OVERRIDES).await?;
    let superuser = single.server.superuser().await?;
    superuser.batch_execute("CREATE DATABASE through OWNER trader").await?;
    let [_, (_, through)] = single.both();
    let played = tokio::task::spawn_blocking(move || -> Result {
        let mut clients = [Peer::connect(through, "through")?, Peer::connect(through, "through")?];
        clients[0].say("create table kept (n int)")?;
        let insert = Step::unnamed_before_query("insert into kept values (1)");
        for turn in 0..8 {
            let heard = clients[turn % 2].play(&insert, &insert.bytes())?;
            ensure!(heard.error().is_none() && heard.is_idle(), "{:?}", heard.error());
            // On either server: had it kept the transaction open, this would wait for it, or fail.
            clients[(turn + 1) % 2]
                .say(&format!("do $$begin assert {} = (select count(*) from kept); end$$", turn + 1))?;
        }
        Ok(())
    });
    played.await?.inspect_err(|_| eprintln!("{}", single.sandbox.logs(40)))
}

/// One of the two ways to a server.
#[derive(Clone, Copy)]
struct Side {
    database: &'static str,
}

impl Side {
    const ALL: [Self; 2] = [Self { database: "directly" }, Self { database: "through" }];
}

fn number(variable: &str, otherwise: u64) -> Result<u64> {
    std::env::var(variable).map_or(Ok(otherwise), |text| text.parse().context("a number is wanted"))
}

/// All clients until the time is over; how many steps were played.
fn play(addresses: [SocketAddr; 2]) -> Result<u64> {
    let clock = std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs());
    let seed = number("PGSTEER_FUZZ_SEED", clock)?;
    let until = now() + Duration::from_secs(number("PGSTEER_FUZZ_SECONDS", 60)?);
    let rounds = number("PGSTEER_FUZZ_ROUNDS", u64::MAX)?;
    println!("PGSTEER_FUZZ_SEED={seed}");
    let (steps, differs) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let clients = (0..CLIENTS).map(|client| {
            let (steps, differs) = (&steps, &differs);
            scope.spawn(move || -> Result {
                for round in 0..rounds {
                    if now() >= until || differs.load(Ordering::Relaxed) {
                        break;
                    }
                    let life = seed.wrapping_add(round);
                    live(addresses, life, client, steps)
                        .inspect_err(|_| differs.store(true, Ordering::Relaxed))
                        .with_context(|| format!("PGSTEER_FUZZ_SEED={life}, client {client}"))?;
                }
                Ok(())
            })
        });
        let clients: Vec<_> = clients.collect();
        for client in clients {
            client.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
        }
        Result::Ok(())
    })?;
    Ok(steps.into_inner())
}

/// One client on both sides, from its start to its end.
fn live(addresses: [SocketAddr; 2], seed: u64, client: u64, steps: &AtomicU64) -> Result {
    let mut dice = Dice::new(seed.wrapping_mul(1000).wrapping_add(client));
    let connect = |side: usize| Peer::connect(addresses[side], Side::ALL[side].database);
    let mut peers = [connect(0)?, connect(1)?];
    let mut neighbours = [connect(0)?, connect(1)?];
    let set_up = Step::set_up(client);
    for peer in &mut peers {
        peer.play(&set_up, &set_up.bytes())?;
    }
    let mut told = String::new();
    for number in 0..STEPS {
        let step = Step::random(&mut dice, client, Life::of(seed));
        told.push_str(&format!("step {number}:\n{step}"));
        let [directly, through] = &mut peers;
        let expected = directly.play(&step, &step.bytes())?;
        let pieces = step.pieces(&mut dice);
        let heard = through.play_in_pieces(&pieces).with_context(|| told.clone())?;
        let end = compare(&expected, &heard, &step).with_context(|| told.clone())?;
        if end == End::OfComparison {
            break;
        }
        ensure!(
            directly.settings == through.settings,
            "{told}\nsettings: {:?}\n  but {:?}",
            directly.settings,
            through.settings
        );
        steps.fetch_add(1, Ordering::Relaxed);
        if expected.ended {
            break;
        }
        // In between, where it waits for nobody.
        if expected.is_idle() && heard.is_idle() && dice.percent(NEIGHBOUR_PERCENT) {
            let step = Step::change(&mut dice, client);
            told.push_str(&format!("somebody else:\n{step}"));
            let [directly, through] = &mut neighbours;
            let expected = directly.play(&step, &step.bytes())?;
            let heard = through.play(&step, &step.bytes()).with_context(|| told.clone())?;
            compare(&expected, &heard, &step).with_context(|| told.clone())?;
        }
    }
    Ok(())
}

/// Whether what follows can be compared, too.
#[derive(PartialEq)]
enum End {
    NotYet,
    /// A statement was to be described on a server that lacks it and cannot be given it, or took a snapshot because it was
    /// given it; or PostgreSQL took one because its table has changed since, which it had not where it was parsed later; or the
    /// server that was asked directly has lost its way.
    OfComparison,
}

/// Whether one of the two alone has taken a snapshot.
fn is_of_either_snapshot(directly: &peer::Message, through: &peer::Message) -> bool {
    !directly.is_refusal() && through.is_of_snapshot() || directly.is_of_snapshot() && !through.is_refusal()
}

fn compare(expected: &Heard, heard: &Heard, step: &Step) -> Result<End> {
    ensure!(!heard.is_told_of_lost_way(), "a server has lost its way through pgsteer");
    // Up to where the server that is asked directly is still sane.
    let lost = expected.loses_its_way();
    let sane = |side: &Heard| lost.map_or(side.messages.len(), |end| end.min(side.messages.len()));
    let (directly, through) = (&expected.messages[..sane(expected)], &heard.messages[..sane(heard)]);
    let first = directly.iter().zip(through).position(|(expected, heard)| !heard.stands_for(expected));
    let first = first.unwrap_or_else(|| directly.len().min(through.len()));
    if directly.len() == through.len() && first == through.len() {
        if lost.is_some() {
            return Ok(End::OfComparison);
        }
        ensure!(expected.ended == heard.ended, "one side's connection has ended");
        return Ok(End::NotYet);
    }
    if let (Some(directly), Some(through)) = (directly.get(first), through.get(first))
        && (through.stands_for_description(directly)
            || step.describes_before_running() && is_of_either_snapshot(directly, through))
    {
        return Ok(End::OfComparison);
    }
    let around = |messages: &[peer::Message]| -> String {
        let from = first.saturating_sub(3);
        messages.iter().skip(from).take(6).map(|message| format!("    {message}\n")).collect()
    };
    bail!("directly:\n{}  through:\n{}", around(&expected.messages), around(&heard.messages))
}
