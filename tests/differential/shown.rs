//! Finds the first difference and shows it.

use std::collections::BTreeMap;

use bytes::Buf;

use crate::client::Message;
use crate::play::Told;
use crate::script::{Manner, Script, What};

/// Numbers of objects from here on are given in the order in which they are made.
const FIRST_OWN_OID: u32 = 16_384;

/// The message of an error that says that a statement yields something else than when it was prepared.
const RESULT_CHANGED: &[u8] = b"Mcached plan must not change result type";

/// Where two plays of a script part, told readably.
pub(crate) fn first_difference(
    script: &Script,
    what: &str,
    directly: &[Told],
    through: &[Told],
) -> Option<String> {
    let [directly, through] = [settled(directly), settled(through)];
    let parted = directly.iter().zip(&through).find_map(|(one, other)| {
        let masked = one.step.is_some_and(|step| script.steps[step].manner == Manner::Masked);
        let shown = [one, other]
            .map(|told| told.messages.iter().map(|message| show(message, masked)).collect::<Vec<_>>());
        (shown[0] != shown[1] || one.session != other.session).then_some((one, shown))
    });
    let Some((told, [directly, through])) = parted else {
        let lengths = [directly.len(), through.len()];
        return (lengths[0] != lengths[1]).then(|| format!("{what}: {lengths:?} answers"));
    };
    let same = directly.iter().zip(&through).take_while(|(one, other)| one == other).count();
    let step = told.step.map(|number| &script.steps[number]);
    let text = step.map_or_else(
        || "at its beginning or end".to_owned(),
        |step| match &step.what {
            What::Statement { text, .. } | What::SimpleStatement { text, .. } => text.clone(),
            What::Hears(_) | What::Leaves => String::new(),
        },
    );
    let place = step.map_or(0, |step| step.line);
    let side = |messages: &[String]| {
        let rest = messages.iter().skip(same).take(6).map(|message| format!("      {message}\n"));
        rest.collect::<String>()
    };
    Some(format!(
        "{what}, line {place}, session {}:\n    {}\n    after {same} messages alike, directly:\n{}    through pgsteer:\n{}",
        told.session,
        text.replace('\n', "\n    "),
        side(&directly),
        side(&through),
    ))
}

/// Settings that a session is told are sorted, and told only where they are not what it knew: a server reports a setting
/// that a restore changes and the statement changes back.
fn settled(told: &[Told]) -> Vec<Told> {
    let mut known = BTreeMap::new();
    told.iter()
        .map(|told| told.with(settled_messages(&told.messages, known.entry(&told.session).or_default())))
        .collect()
}

fn settled_messages(messages: &[Message], known: &mut BTreeMap<Vec<u8>, Vec<u8>>) -> Vec<Message> {
    let mut settled = Vec::new();
    let mut reported = BTreeMap::new();
    for message in messages {
        if message.tag == b'S' {
            let name = message.body.split(|byte| *byte == 0).next().unwrap_or_default();
            reported.insert(name.to_vec(), message.body.clone());
            continue;
        }
        if message.tag == b'Z' {
            for (name, body) in std::mem::take(&mut reported) {
                if known.insert(name, body.clone()).as_ref() != Some(&body) {
                    settled.push(Message { tag: b'S', body });
                }
            }
        }
        settled.push(message.clone());
    }
    settled
}

/// A message as text. What is left out of it may differ: numbers of objects, masked values.
fn show(message: &Message, masked: bool) -> String {
    let body = message.body.as_slice();
    match message.tag {
        b'T' => format!("RowDescription {}", columns(body).join(", ")),
        b't' => format!(
            "ParameterDescription {:?}",
            body.get(2..).unwrap_or_default().chunks(4).map(number_of).collect::<Vec<_>>()
        ),
        b'D' => format!("DataRow {}", values(body, masked).join(" | ")),
        b'E' => format!("ErrorResponse {}", fields(body)),
        b'N' => format!("NoticeResponse {}", fields(body)),
        tag => format!("{} {}", name_of(tag), text(body)),
    }
}

const fn name_of(tag: u8) -> &'static str {
    match tag {
        b'1' => "ParseComplete",
        b'2' => "BindComplete",
        b'3' => "CloseComplete",
        b'A' => "NotificationResponse",
        b'C' => "CommandComplete",
        b'G' => "CopyInResponse",
        b'H' => "CopyOutResponse",
        b'I' => "EmptyQueryResponse",
        b'R' => "Authentication",
        b'S' => "ParameterStatus",
        b'Z' => "ReadyForQuery",
        b'c' => "CopyDone",
        b'd' => "CopyData",
        b'n' => "NoData",
        b's' => "PortalSuspended",
        _ => "another message",
    }
}

fn number_of(bytes: &[u8]) -> String {
    let number = bytes.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
    if number < FIRST_OWN_OID { number.to_string() } else { "own".to_owned() }
}

fn columns(mut body: &[u8]) -> Vec<String> {
    let mut columns = Vec::new();
    for _ in 0..body.try_get_i16().unwrap_or_default() {
        let end = body.iter().position(|byte| *byte == 0).unwrap_or(body.len());
        let (name, rest) = body.split_at(end);
        let Some((fixed, after)) = rest.get(1..).and_then(|rest| rest.split_at_checked(18)) else { break };
        body = after;
        let [table, kind] = [number_of(fixed), number_of(&fixed[6..])];
        let others = [&fixed[4..6], &fixed[10..]].concat();
        columns.push(format!("{} (table {table}, type {kind}, {others:?})", text(name)));
    }
    columns
}

fn values(mut body: &[u8], masked: bool) -> Vec<String> {
    let mut values = Vec::new();
    for _ in 0..body.try_get_i16().unwrap_or_default() {
        let length = body.try_get_i32().unwrap_or(-1);
        let Ok(length) = usize::try_from(length) else {
            values.push("NULL".to_owned());
            continue;
        };
        let (value, rest) = body.split_at_checked(length).unwrap_or((body, &[]));
        body = rest;
        values.push(if masked { "…".to_owned() } else { text(value) });
    }
    values
}

fn fields(body: &[u8]) -> String {
    // Where in its source a server would have said so, pgsteer cannot know.
    let is_of_change = body.split(|byte| *byte == 0).any(|field| field == RESULT_CHANGED);
    let is_line = |field: &[u8]| is_of_change && field.starts_with(b"L");
    let fields = body.split(|byte| *byte == 0).filter(|field| !field.is_empty() && !is_line(field));
    fields.map(|field| format!("{}={}", text(&field[..1]), text(&field[1..]))).collect::<Vec<_>>().join(" ")
}

fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}
