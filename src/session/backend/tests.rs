//! The backend alone; whole conversations are played in `tests/session_scripts`.

use super::*;
use crate::wire::pipeline::{Block, Owed};

#[test]
fn answers_of_our_own_come_between_messages_only() {
    let mut backend = Backend::default();
    let mut pipeline = Pipeline::default();
    let own = || Owed::Own(OwnAnswer::ParseComplete, None);
    let mut told = Vec::new();
    pipeline.sent(own());
    backend.rest = Rest::Pass(3);
    backend.own_answers(&mut pipeline, &mut told);
    assert_eq!((told.as_slice(), pipeline.len()), (&b""[..], 1));
    backend.rest = Rest::None;
    pipeline.sent(Owed::Execute(Block::Stays));
    backend.own_answers(&mut pipeline, &mut told);
    assert_eq!((told.as_slice(), pipeline.len()), (&b""[..], 2), "the server's answer brings it along");
    pipeline.reset();
    pipeline.sent(own());
    pipeline.sent(Owed::Own(OwnAnswer::CloseComplete, None));
    backend.own_answers(&mut pipeline, &mut told);
    assert_eq!((told.as_slice(), pipeline.len()), (&b"1\0\0\0\x043\0\0\0\x04"[..], 0));
}

#[test]
fn whether_an_error_ends_the_session() {
    for (body, fatal) in [
        (&b"SFATAL\0VFATAL\0C57P01\0Mx\0\0"[..], true),
        (b"SPANIK\0VPANIC\0C57P01\0Mx\0\0", true),
        (b"SERROR\0VERROR\0CP0001\0MVFATAL\0\0", false),
        (b"SERROR\0VERROR", false),
        (b"", false),
    ] {
        let message = [&[b'E', 0, 0, 0, 0], body].concat();
        assert_eq!(is_fatal(&message), fatal, "{}", body.escape_ascii());
    }
}
