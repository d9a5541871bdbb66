//! pgsteer's reading of texts held against PostgreSQL's own parser: tokens, statements, and what they touch.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod collected;
mod errands;
mod generated;
mod tokens;

use pgsteer::sql::touches::{FunctionNames, Kinds, touches};
use pgsteer::sql::{Statements, classify};
use pgsteer_parser_tests::{Said, read, said};

/// What the parser says of a text that it accepts, after checking that pgsteer reads no less and counts the same.
fn checked(text: &str) -> Option<Said> {
    let said = said(text)?;
    errands::check(text);
    let effects = classify(text.as_bytes(), true);
    let many = said.statements > 1 || said.nests;
    let (least, most) = match said.statements {
        0 => (Statements::None, Statements::None),
        1 if !many => (Statements::One, Statements::One),
        1 => (Statements::One, Statements::Many),
        _ => (Statements::Many, Statements::Many),
    };
    assert!(
        (least..=most).contains(&effects.statements()),
        "{} statements: {effects:?} in {text}",
        said.statements
    );
    if !many {
        assert!(!effects.is_not_understood(), "not understood: {text}");
        assert_eq!(effects.transaction_control(), said.control, "{text}");
    }
    let (kinds, settings, names) = read(&touches(text.as_bytes(), true, FunctionNames::NONE));
    if !kinds.has(Kinds::OPAQUE) {
        let every = kinds.has(Kinds::EVERY_SETTING);
        let named = if every { Kinds::SETTINGS } else { Kinds::NONE };
        assert!(kinds.has(said.kinds.without(named)), "{kinds:?}, not {:?}: {text}", said.kinds);
        assert!(
            every || settings.is_superset(&said.settings),
            "{settings:?}, not {:?}: {text}",
            said.settings
        );
        assert!(names.is_superset(&said.names), "{names:?}, not {:?}: {text}", said.names);
    }
    Some(said)
}
