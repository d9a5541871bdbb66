//! Messages that are not laid out as their type says: the server refuses them, and nothing comes of them.

use crate::{machines, play::check as play};

/// The bytes of a message, as a script has them.
fn raw(tag: char, body: &str) -> String {
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    let bytes = [&[u8::try_from(tag).unwrap()][..], &length, body.as_bytes()].concat();
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("Raw {digits}")
}

/// What PostgreSQL says of a message that it cannot read.
const UNREADABLE: &str = "Error 08P01 \"invalid message format\"";

#[test]
fn such_a_message_of_a_sequence_is_the_servers_and_leaves_nothing_behind() {
    for (tag, body) in [
        ('B', ""),
        ('B', "portal"),
        ('B', "\0b"),
        ('P', ""),
        ('P', "b"),
        ('P', "b\0select 2"),
        ('P', "b\0select 2\0"),
        ('P', "b\0select 2\0\0\x01\0\0"),
        ('P', "b\0select 2\0\0\0x"),
        ('P', "\0select 2"),
        ('P', "\0select 2\0\0\0x"),
        ('D', ""),
        ('D', "Sa"),
        ('D', "Sa\0x"),
        ('C', ""),
        ('C', "Sa"),
        ('C', "Sa\0x"),
        ('E', ""),
        ('E', "\0\0\0"),
        ('E', "\0\0\0\0\0\0"),
        ('H', "x"),
    ] {
        let message = raw(tag, body);
        machines::check(&format!(
            r#"
            C> Parse a "select 1" | Parse "" "select 3" | Sync
            >s Parse pgsteer_1 "select 1" | Describe S pgsteer_1 | Parse "" "select 3" | Describe S "" | Sync
            s< ParseComplete | ParameterDescription | RowDescription n | ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
            <C ParseComplete | ParseComplete | ReadyForQuery I
            # What follows is skipped up to Sync, and never happened.
            C> {message} | Parse c "select 4" | Close S a | Flush
            >s {message} | Parse pgsteer_2 "select 4" | Describe S pgsteer_2 | Flush
            s< {UNREADABLE}
            <C {UNREADABLE}
            C> Query "select 5" | Execute "" | Flush
            >s nothing
            C> Sync
            >s Sync
            s< ReadyForQuery I
            <C ReadyForQuery I
            free true
            named 1
            prepared 1
            # What there was before it is there.
            C> Bind "" "" | Bind p a | Sync
            >s Bind "" "" | Bind p pgsteer_1 | Sync
            s< BindComplete | BindComplete | ReadyForQuery I
            <C BindComplete | BindComplete | ReadyForQuery I
            free true
            "#
        ));
    }
}

#[test]
fn a_bind_whose_names_can_be_read_is_one_of_the_clients_statement() {
    let (message, mapped) = (raw('B', "\0a\0\0"), raw('B', "\0pgsteer_1\0\0"));
    machines::check(&format!(
        r#"
        C> Parse a "select 1" | {message} | Sync
        >s Parse pgsteer_1 "select 1" | Describe S pgsteer_1 | {mapped} | Sync
        s< ParseComplete | ParameterDescription | RowDescription n | {UNREADABLE} | ReadyForQuery I
        <C ParseComplete | {UNREADABLE} | ReadyForQuery I
        named 1
        "#
    ));
}

#[test]
fn such_a_query_or_sync_is_refused_alone() {
    for (tag, body) in [('Q', ""), ('Q', "deallocate all"), ('Q', "begin\0x"), ('S', "x")] {
        let message = raw(tag, body);
        machines::check(&format!(
            r#"
            C> Parse a "select 1" | Parse "" "select 3" | Sync
            >s Parse pgsteer_1 "select 1" | Describe S pgsteer_1 | Parse "" "select 3" | Describe S "" | Sync
            s< ParseComplete | ParameterDescription | RowDescription n | ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
            <C ParseComplete | ParseComplete | ReadyForQuery I
            C> {message} | Bind "" "" | Sync
            >s {message} | Bind "" "" | Sync
            s< {UNREADABLE} | ReadyForQuery I | BindComplete | ReadyForQuery I
            <C {UNREADABLE} | ReadyForQuery I | BindComplete | ReadyForQuery I
            free true
            named 1
            # Elsewhere the client has its unnamed statement, too.
            C on t
            C> Bind "" "" | Sync
            >t Parse "" "select 3" | Describe S "" | Sync
            t< ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
            >t Bind "" "" | Sync
            t< BindComplete | ReadyForQuery I
            <C BindComplete | ReadyForQuery I
            "#
        ));
    }
}

#[test]
fn such_a_query_gives_back_no_unnamed_statement() {
    let query = raw('Q', "select 1");
    machines::check(&format!(
        r#"
        C> Parse "" "select 1" | Sync
        >s Parse "" "select 1" | Describe S "" | Sync
        s< ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
        <C ParseComplete | ReadyForQuery I
        # What was there is gone with the Parse that fails.
        C> Parse "" "selec" | Sync | {query} | Describe S "" | Sync
        >s Parse "" selec | Sync | {query}
        s< Error 42601 "syntax error" | ReadyForQuery I
        >s Describe S "" | Sync
        s< {UNREADABLE} | ReadyForQuery I | Error 26000 "unnamed prepared statement does not exist" | ReadyForQuery I
        <C Error 42601 "syntax error" | ReadyForQuery I | {UNREADABLE} | ReadyForQuery I | Error 26000 "unnamed prepared statement does not exist" | ReadyForQuery I
        C on t
        C> Describe S "" | Sync
        >t Close S "" | Describe S "" | Sync
        t< CloseComplete | Error 26000 "unnamed prepared statement does not exist" | ReadyForQuery I
        <C Error 26000 "unnamed prepared statement does not exist" | ReadyForQuery I
        "#
    ));
}

#[test]
fn a_copy_ignores_what_is_in_a_flush() {
    let flush = raw('H', "x");
    machines::check(&format!(
        r#"
        C> Query "copy t from stdin" | {flush} | CopyData abc | CopyDone
        >s Query "copy t from stdin"
        s< CopyIn
        >s {flush} | CopyData abc | CopyDone
        s< CommandComplete "COPY 1" | ReadyForQuery I
        <C CopyIn | CommandComplete "COPY 1" | ReadyForQuery I
        free true
        # There is none: it is refused, behind the query.
        C> Query "select 1" | {flush} | Bind "" "" | Sync
        >s Query "select 1" | {flush} | Bind "" "" | Sync
        s< CommandComplete "SELECT 1" | ReadyForQuery I | {UNREADABLE} | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I | {UNREADABLE} | ReadyForQuery I
        free true
        "#
    ));
}

#[test]
fn a_flush_with_something_in_it_is_a_request() {
    let flush = raw('H', "x");
    play(&format!(
        r#"
        C> {flush}
        >a1 {flush}
        a1< {UNREADABLE}
        <C {UNREADABLE}
        C> Parse a "select 1" | Sync
        >a1 Sync
        a1< ReadyForQuery I
        <C ReadyForQuery I
        pool a leased=0 idle=1
        "#
    ));
}

#[test]
fn what_postgresql_ends_a_session_for_does_not_reach_it() {
    // A Describe that says it has 10 001 bytes; a type that no client sends.
    for message in ["Raw 4400002711", "Raw 7a00000004"] {
        play(&format!(
            r#"
            C> {message}
            <C Fatal 08P01 _ | end
            "#
        ));
        // Nor where all that it is sent is skipped.
        play(&format!(
            r#"
            C> Bind "" nope | Flush
            >a1 Bind "" nope | Flush
            a1< Error 26000 "prepared statement \"nope\" does not exist"
            <C Error 26000 "prepared statement \"nope\" does not exist"
            C> {message}
            <C Fatal 08P01 _ | end
            >a1 end
            "#
        ));
    }
}
