//! What a server holds, and who gives way.

use super::*;
use crate::{
    clock::Moment,
    wire::{
        conduct::{Conduct, Form},
        statements::{Catalog, Source},
    },
};

#[test]
fn the_least_recently_used_goes() {
    let mut server = ServerStatements::default();
    assert_eq!(server.use_statement(1, 1, 2), Prepare::Parse);
    assert_eq!(server.use_statement(2, 1, 2), Prepare::Parse);
    assert_eq!(server.news(), (2, 2));
    assert_eq!(server.use_statement(1, 1, 2), Prepare::Ready);
    assert_eq!(server.use_statement(3, 1, 2), Prepare::CloseThenParse(2, Worth::Sound));
    assert_eq!((server.news(), server.news()), ((2, 1), (0, 0)));
    assert!(server.has(1) && !server.has(2) && server.has(3));
}

#[test]
fn what_is_spoilt_is_closed_before_it_is_prepared_again() {
    let mut server = ServerStatements::default();
    server.use_statement(1, 1, 2);
    server.spoil(1);
    assert!(!server.has(1) && server.len() == 1);
    assert_eq!(server.use_statement(1, 1, 2), Prepare::CloseThenParse(1, Worth::Spoilt));
    assert_eq!(server.use_statement(1, 1, 2), Prepare::Ready);
    server.spoil(1);
    assert_eq!(server.use_statement(2, 1, 1), Prepare::CloseThenParse(1, Worth::Spoilt));
}

#[test]
fn what_stands_for_an_unnamed_statement_grows_old() {
    let (catalog, mut server) = (Catalog::default(), ServerStatements::default());
    let (scope, other): (Scope, Scope) = ("a".into(), "b".into());
    let when = |millis: u64, generation| When { now: Moment::from_nanos(millis * 1_000_000), generation };
    let (conduct, form) = (Conduct::default(), Form::Planned);
    let source = Source { scope: &scope, query: b"select 1", types: &[0, 0], conduct, form };
    let statement = catalog.unnamed(&source, when(0, 1));
    let sent = |scope| Sent { fingerprint: 5, scope, query: b"select 1", types: &[0, 0] };
    server.use_statement(statement.id(), 1, 2);
    assert!(matches!(server.unnamed(&sent(&scope), when(0, 1)), Known::No));
    server.stands_for(5, &statement, when(0, 1));
    assert!(matches!(server.unnamed(&sent(&scope), when(999, 1)), Known::Fresh(_)));
    assert!(matches!(server.unnamed(&sent(&scope), when(1000, 1)), Known::Stale(_)));
    assert!(matches!(server.unnamed(&sent(&scope), when(0, 2)), Known::Stale(_)));
    assert!(matches!(server.unnamed(&sent(&other), when(0, 1)), Known::No));
    // It goes as any other does.
    server.use_statement(1000, 1, 2);
    server.use_statement(1001, 1, 2);
    assert!(matches!(server.unnamed(&sent(&scope), when(0, 1)), Known::No));
    assert!(server.unnamed.is_empty());
}

/// About one in eight, whichever of them are one client's.
#[test]
fn a_full_server_admits_few() {
    let mut server = ServerStatements::default();
    assert!(server.admits(1));
    server.use_statement(1, 1, 1);
    for others in 0..64 {
        let mut own_turn = || {
            (0..others).for_each(|_| _ = server.admits(1));
            server.admits(1)
        };
        let admitted = (0..4000).filter(|_| own_turn()).count();
        assert!((400..600).contains(&admitted), "{admitted} of 4000, {others} between each");
    }
}

#[test]
fn who_has_most_gives_way() {
    let mut server = ServerStatements::default();
    let [hog, other] = [1, 2];
    for id in 0..3 {
        server.use_statement(id, hog, 4);
    }
    assert_eq!(server.use_statement(100, other, 4), Prepare::Parse);
    // The oldest of the hog's own, then the other's next takes one from the hog, and then both have as many.
    assert_eq!(server.use_statement(3, hog, 4), Prepare::CloseThenParse(0, Worth::Sound));
    assert_eq!(server.use_statement(101, other, 4), Prepare::CloseThenParse(1, Worth::Sound));
    assert_eq!(server.use_statement(102, other, 4), Prepare::CloseThenParse(100, Worth::Sound));
    assert_eq!(server.use_statement(4, hog, 4), Prepare::CloseThenParse(2, Worth::Sound));
    // A third client takes from either; what it uses of theirs is its own.
    assert_eq!(server.use_statement(101, 3, 4), Prepare::Ready);
    assert_eq!(server.use_statement(200, 3, 4), Prepare::CloseThenParse(3, Worth::Sound));
    assert_eq!(server.use_statement(5, hog, 4), Prepare::CloseThenParse(4, Worth::Sound));
}

#[test]
fn what_nobody_uses_any_more_gives_way_first() {
    let mut server = ServerStatements::default();
    // Of clients that have gone, each with a statement.
    (0..8).for_each(|id| _ = server.use_statement(id, 10 + Client::try_from(id).unwrap(), 8));
    let (mut id, uses) = (1000, 8 * TURNS);
    for _ in 0..uses + 8 {
        id += 1;
        server.use_statement(id, 1, 8);
    }
    assert_eq!(server.held.values().filter(|held| held.client == 1).count(), 8);
}

/// Numbers that look random (splitmix64), the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        (mixed ^ (mixed >> 27)) % bound
    }
}

/// Whatever clients do: no more is held than may be, and whoever loses a place that it still uses has as many as anybody.
#[test]
fn nobody_loses_a_place_to_one_that_has_more() {
    for seed in 0..20 {
        let mut random = Random(seed);
        let max = 1 + usize::try_from(random.below(24)).unwrap();
        let clients = 1 + random.below(8);
        let mut server = ServerStatements::default();
        // What each statement was used by last, and when, as this test has seen it.
        let mut model = std::collections::BTreeMap::<u64, (Client, u64)>::new();
        for turn in 1..4000 {
            let client = 1 + random.below(clients);
            // The first has few, the last has thousands, and all have some in common.
            let id = match random.below(4) {
                0 => random.below(6),
                _ => client * 100_000 + random.below(4u64.pow(u32::try_from(client).unwrap())),
            };
            let client = Client::try_from(client).unwrap();
            let places = |of: Client, model: &std::collections::BTreeMap<u64, (Client, u64)>| {
                model.values().filter(|(client, _)| *client == of).count() + usize::from(of == client)
            };
            match server.use_statement(id, client, max) {
                Prepare::Ready => assert!(model.contains_key(&id)),
                Prepare::Parse => assert!(!model.contains_key(&id) && model.len() < max),
                Prepare::CloseThenParse(gone, _) => {
                    let (loser, used_at) = model[&gone];
                    let most = model.values().map(|(client, _)| places(*client, &model)).max().unwrap();
                    let idle = turn - used_at > TURNS * max as u64;
                    assert!(idle || places(loser, &model) == most, "seed {seed}, turn {turn}: {loser}");
                    let own = model.values().filter(|(client, _)| *client == loser);
                    assert_eq!(own.map(|(_, at)| *at).min(), Some(used_at), "the oldest of its own");
                    model.remove(&gone);
                }
            }
            model.insert(id, (client, turn));
            assert!(model.keys().eq(server.held.keys().collect::<std::collections::BTreeSet<_>>()));
            assert!(server.len() <= max);
        }
    }
}

/// One client goes through thousands of statements, as often as it likes; another has five, and uses one now and then. Each
/// of the five is parsed once.
#[test]
fn thousands_of_statements_starve_nobodys_few() {
    for again in [1, 2, 5] {
        let mut server = ServerStatements::default();
        let mut parsed = 0;
        for turn in 0..20_000u64 {
            let id = 1_000_000 + turn / again % 5000;
            server.use_statement(id, 1, 200);
            if turn % 100 == 0 {
                parsed += usize::from(server.use_statement(turn / 100 % 5, 2, 200) != Prepare::Ready);
            }
        }
        assert_eq!((parsed, server.len()), (5, 200), "each of the thousands {again} times in a row");
    }
}
