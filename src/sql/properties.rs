//! What holds for every text.

use proptest::prelude::*;

use super::effects::{Effects, Session, classify, classify_opaque, classify_prefix, classify_unsure};
use super::lexer::{Lexer, Token};
use super::touches::{
    FunctionNames, Kinds, Touches, touches, touches_opaque, touches_prefix, touches_unsure,
};

/// Whole statements and single clauses, none of which ends inside a token.
const STATEMENTS: [&str; 30] = [
    "",
    "select 1",
    "select 'it''s', E'\\'', $$x;$$, \"a;\"",
    "insert into t values ('now')",
    "update t set a = 1 where b = 'x'",
    "commit",
    "rollback and chain",
    "savepoint s",
    "set search_path to a, b",
    "set timezone = default",
    "set local x = 1",
    "reset all",
    "reset timezone",
    "discard all",
    "deallocate all",
    "execute p",
    "explain analyze execute p",
    "declare c cursor with hold for select 1",
    "create or replace temp view v as select 1",
    "select pg_advisory_lock(1), currval('s')",
    "select set_config('a', 'b', true), set_config('a', 'b', false)",
    "do $a$ begin if x then set y = 1; end if; end $a$",
    "begin isolation level serializable read write",
    "listen c",
    "load 'x'",
    "set local seed = 1",
    "create table t as execute p",
    "select currval('s'), dblink_connect('x'), * from pg_cursors",
    "update pg_settings set setting = 1",
    "frobnicate",
];

/// Pieces that open, close or look like something.
const PIECES: [&str; 30] = [
    "'",
    "\"",
    "$$",
    "$a$",
    "/*",
    "*/",
    "--",
    "\n",
    ";",
    "\\",
    "E'",
    "U&'",
    "U&\"",
    "x'",
    "$1",
    "$",
    "(",
    ")",
    "set ",
    "select ",
    "set_config(",
    "do ",
    "into temp ",
    "now",
    "::",
    "+-",
    "\u{e9}",
    "\0",
    "1e",
    " ",
];

fn text() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::collection::vec(prop::sample::select(&PIECES[..]), 0..24);
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..64),
        pieces.prop_map(|pieces| pieces.concat().into_bytes()),
        prop::sample::subsequence(&STATEMENTS[..], 0..4).prop_map(|parts| parts.join(" ").into_bytes()),
    ]
}

/// Every danger in `milder` is in `worse` too.
fn covers(worse: Effects, milder: Effects) -> bool {
    let dangers = |effects: Effects| {
        [effects.may_commit(), effects.reads_session(), effects.parsed_alone(), effects.unlocks_writes()]
    };
    let session = worse.session() == Session::Dirty || worse.session() == milder.session();
    session
        && worse.statements() >= milder.statements()
        && dangers(worse).into_iter().zip(dangers(milder)).all(|(worse, milder)| worse || !milder)
}

/// Everything in `less` is in `more` too.
fn includes(more: &Touches, less: &Touches) -> bool {
    let opaque = more.kinds.has(Kinds::OPAQUE);
    let every = opaque || more.kinds.has(Kinds::EVERY_SETTING);
    (opaque || more.kinds.has(less.kinds.without(Kinds::SETTINGS)))
        && (every || less.settings.iter().all(|name| more.settings.contains(name)))
        && (opaque || less.statements.iter().all(|name| more.statements.contains(name)))
}

fn touched(text: &[u8]) -> Touches {
    touches(text, true, FunctionNames::NONE)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn any_bytes_are_read_to_the_end(text in text(), standard in any::<bool>()) {
        let both = classify_unsure(&text);
        prop_assert!(covers(both, classify(&text, standard)));
        prop_assert!(covers(classify_opaque(&text, standard), classify(&text, standard)));
        let tokens = Lexer::new(&text, standard).count();
        prop_assert!(tokens <= text.len());
    }

    #[test]
    fn a_prefix_is_never_milder(text in text(), standard in any::<bool>(), at in any::<prop::sample::Index>()) {
        let prefix = &text[..at.index(text.len() + 1)];
        prop_assert!(covers(classify_prefix(prefix, standard), classify(&text, standard)));
    }

    #[test]
    fn two_statements_have_the_effects_of_both(
        a in prop::sample::select(&STATEMENTS[..]),
        b in prop::sample::select(&STATEMENTS[..]),
        standard in any::<bool>(),
    ) {
        let both = format!("{a};{b}");
        let apart = classify(a.as_bytes(), standard) | classify(b.as_bytes(), standard);
        prop_assert_eq!(classify(both.as_bytes(), standard), apart);
    }

    #[test]
    fn nothing_is_touched_unannounced(text in text(), standard in any::<bool>()) {
        let found = touches(&text, standard, FunctionNames::NONE).kinds.without(Kinds::UNANNOUNCED);
        prop_assert!(classify(&text, standard).touches_session() || found.is_empty(), "{:?}", found);
    }

    #[test]
    fn other_readings_touch_no_less(
        text in text(),
        standard in any::<bool>(),
        at in any::<prop::sample::Index>(),
    ) {
        let none = FunctionNames::NONE;
        let exact = touches(&text, standard, none);
        prop_assert!(includes(&touches_unsure(&text, none), &exact));
        prop_assert!(includes(&touches_opaque(&text, standard, none), &exact));
        let prefix = &text[..at.index(text.len() + 1)];
        prop_assert!(includes(&touches_prefix(prefix, standard, none), &exact));
    }

    #[test]
    fn two_statements_touch_what_both_touch(
        a in prop::sample::select(&STATEMENTS[..]),
        b in prop::sample::select(&STATEMENTS[..]),
    ) {
        let mut apart = touched(a.as_bytes());
        apart.merge(touched(b.as_bytes()));
        prop_assert_eq!(touched(format!("{a};{b}").as_bytes()), apart);
    }

    #[test]
    fn blanks_comments_and_case_change_nothing(
        statement in prop::sample::select(&STATEMENTS[..]),
        blanks in prop::collection::vec(prop::sample::select(vec![" ", "\t\r\n", "/* ';\" */", "--'x\n"]), 32),
        upper in any::<bool>(),
    ) {
        let mut dressed = Vec::new();
        let mut blanks = blanks.iter().cycle();
        let mut rest = statement.as_bytes();
        let mut lexer = Lexer::new(rest, true);
        // Between any two tokens, each as it was written: what is left of the text tells how long it is.
        while lexer.next().is_some() {
            let written = &rest[..rest.len() - lexer.remaining()];
            rest = &rest[written.len()..];
            let fold = upper && matches!(Lexer::new(written, true).next(), Some(Token::Word(_)));
            dressed.extend(blanks.next().into_iter().flat_map(|blank| blank.bytes()));
            dressed.extend(written.iter().map(|byte| if fold { byte.to_ascii_uppercase() } else { *byte }));
            lexer = Lexer::new(rest, true);
        }
        prop_assert_eq!(classify(&dressed, true), classify(statement.as_bytes(), true));
        prop_assert_eq!(touched(&dressed), touched(statement.as_bytes()));
    }
}

/// Texts that would take quadratic time if anything were read again from the start.
#[test]
fn work_grows_with_the_length_only() {
    let units = [
        "'a'\n",
        "$a",
        "$a$b",
        "/*",
        "set_config(",
        "set_config('a',",
        "'a' ",
        "explain ",
        "declare c ",
        "--",
        "do '",
        "create schema as execute ",
        "set a.",
        "execute U&\"a\" ",
        "prepare ",
    ];
    let bodies = ["begin create ", "begin declare ", "begin explain ", "then set ", "loop set_config("];
    for unit in
        units.into_iter().chain(["create table ", "do '' ", "'", "U&'", "do $$set ", "(", "now ", "\\"])
    {
        check_work(&unit.repeat(400_000 / unit.len()), unit);
    }
    for unit in bodies {
        check_work(&format!("do $$ {} $$", unit.repeat(400_000 / unit.len())), unit);
    }
}

fn check_work(text: &str, unit: &str) {
    // Quadratic work would be 10^11 steps here, and hang the test.
    assert!(covers(classify_unsure(text.as_bytes()), classify(text.as_bytes(), true)), "{unit:?}");
    assert!(
        includes(&touches_unsure(text.as_bytes(), FunctionNames::NONE), &touched(text.as_bytes())),
        "{unit:?}"
    );
}
