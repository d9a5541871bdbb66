//! Protocol messages as text: one line of a script is messages separated by ` | `.
//!
//! A message is its name in PostgreSQL's documentation and its fields: bare words, or in double quotes. `@70000`
//! inside a field stands for so many `x`. In what is expected, a last field `_` stands for any further fields, and
//! `~text` for a field that contains the text.

use pgsteer::wire::{
    error::{PgError, ServerError, Severity, SqlState},
    frame::{HEADER_BYTES, Header, cstr, put, put_cstr},
    message::{
        decode_data_row, decode_row_description, encode_command_complete, encode_data_row,
        encode_parameter_status, encode_ready_for_query, encode_row_description,
    },
};

/// Who sends a message: the same tag means different things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

/// A run of `x` at least as long is written short.
const RUN_MIN: usize = 64;

/// The messages of one line, each as its fields.
pub(crate) fn split(line: &str) -> Vec<Vec<String>> {
    let mut messages = vec![Vec::new()];
    let mut chars = line.trim().chars().peekable();
    while let Some(c) = chars.next() {
        let mut word = String::new();
        match c {
            ' ' => continue,
            '|' => {
                messages.push(Vec::new());
                continue;
            }
            '"' => {
                while let Some(c) = chars.next().filter(|c| *c != '"') {
                    word.push(if c == '\\' { chars.next().unwrap() } else { c });
                }
            }
            c => {
                word.push(c);
                while let Some(c) = chars.next_if(|c| !matches!(c, ' ' | '|')) {
                    word.push(c);
                }
            }
        }
        messages.last_mut().unwrap().push(word);
    }
    messages
}

/// The bytes of a line's messages.
pub(crate) fn encode(side: Side, line: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for message in split(line) {
        let fields: Vec<Vec<u8>> = message[1..].iter().map(|field| expand(field)).collect();
        let fields: Vec<&[u8]> = fields.iter().map(Vec::as_slice).collect();
        match side {
            Side::Client => from_client(&mut out, &message[0], &fields),
            Side::Server => from_server(&mut out, &message[0], &fields),
        }
    }
    out
}

fn expand(field: &str) -> Vec<u8> {
    let mut parts = field.split('@');
    let mut out = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        let digits = part.len() - part.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (count, rest) = part.split_at(digits);
        out.resize(out.len() + count.parse::<usize>().unwrap(), b'x');
        out.extend_from_slice(rest.as_bytes());
    }
    out
}

fn from_client(out: &mut Vec<u8>, name: &str, fields: &[&[u8]]) {
    let tag = match name {
        "Query" => b'Q',
        "Parse" => b'P',
        "Bind" => b'B',
        "Describe" => b'D',
        "Close" => b'C',
        "Execute" => b'E',
        "Sync" => b'S',
        "Flush" => b'H',
        "Terminate" => b'X',
        "CopyData" => b'd',
        "CopyDone" => b'c',
        "CopyFail" => b'f',
        "FunctionCall" => b'F',
        "Raw" => return out.extend(hex(fields[0])),
        other => panic!("no message of a client: {other}"),
    };
    put(out, tag, |out| match (tag, fields) {
        (b'Q' | b'f', [text]) => put_cstr(out, text),
        (b'P', [name, text, types @ ..]) => {
            put_cstr(out, name);
            put_cstr(out, text);
            out.extend_from_slice(&u16::try_from(types.len()).unwrap().to_be_bytes());
            for oid in types {
                out.extend_from_slice(&number(oid).to_be_bytes());
            }
        }
        (b'B', [portal, name, values @ ..]) => {
            put_cstr(out, portal);
            put_cstr(out, name);
            out.extend_from_slice(&[0; 2]);
            out.extend_from_slice(&u16::try_from(values.len()).unwrap().to_be_bytes());
            for value in values {
                out.extend_from_slice(&u32::try_from(value.len()).unwrap().to_be_bytes());
                out.extend_from_slice(value);
            }
            out.extend_from_slice(&[0; 2]);
        }
        (b'D' | b'C', [kind, name]) => {
            out.extend_from_slice(kind);
            put_cstr(out, name);
        }
        (b'E', [portal]) => {
            put_cstr(out, portal);
            out.extend_from_slice(&[0; 4]);
        }
        (b'd', [data]) => out.extend_from_slice(data),
        (b'F', [oid]) => {
            out.extend_from_slice(&number(oid).to_be_bytes());
            out.extend_from_slice(&[0; 6]);
        }
        (b'S' | b'H' | b'X' | b'c', []) => {}
        _ => panic!("{name} with {} fields", fields.len()),
    });
}

fn from_server(out: &mut Vec<u8>, name: &str, fields: &[&[u8]]) {
    let text = |at: usize| std::str::from_utf8(fields[at]).unwrap();
    let empty = |tag| move |out: &mut Vec<u8>| put(out, tag, |_| {});
    match name {
        "ParseComplete" => empty(b'1')(out),
        "BindComplete" => empty(b'2')(out),
        "CloseComplete" => empty(b'3')(out),
        "NoData" => empty(b'n')(out),
        "PortalSuspended" => empty(b's')(out),
        "EmptyQueryResponse" => empty(b'I')(out),
        "CopyDone" => empty(b'c')(out),
        "CopyData" => put(out, b'd', |out| out.extend_from_slice(fields[0])),
        "CopyIn" => put(out, b'G', |out| out.extend_from_slice(&[0; 3])),
        "CopyOut" => put(out, b'H', |out| out.extend_from_slice(&[0; 3])),
        "CommandComplete" => encode_command_complete(out, text(0)),
        "ReadyForQuery" => encode_ready_for_query(out, fields[0][0]),
        "ParameterStatus" => encode_parameter_status(out, fields[0], fields[1]),
        "RowDescription" => {
            let columns: Vec<&str> = (0..fields.len()).map(text).collect();
            encode_row_description(out, &columns);
        }
        "ParameterDescription" => put(out, b't', |out| {
            out.extend_from_slice(&u16::try_from(fields.len()).unwrap().to_be_bytes());
            fields.iter().for_each(|oid| out.extend_from_slice(&number(oid).to_be_bytes()));
        }),
        "DataRow" => encode_data_row(out, &fields.iter().map(|value| Some(*value)).collect::<Vec<_>>()),
        "FunctionCallResponse" => put(out, b'V', |out| {
            out.extend_from_slice(&u32::try_from(fields[0].len()).unwrap().to_be_bytes());
            out.extend_from_slice(fields[0]);
        }),
        "Notification" => put(out, b'A', |out| {
            out.extend_from_slice(&[0, 0, 0, 7]);
            fields.iter().for_each(|field| put_cstr(out, field));
        }),
        "Error" | "Fatal" | "Notice" => {
            let severity = match name {
                "Error" => Severity::Error,
                "Fatal" => Severity::Fatal,
                _ => Severity::Notice,
            };
            PgError::new(severity, SqlState::parse(fields[0]).unwrap(), text(1).to_owned()).encode(out);
        }
        "Raw" => out.extend(hex(fields[0])),
        other => panic!("no message of a server: {other}"),
    }
}

fn number(text: &[u8]) -> u32 {
    std::str::from_utf8(text).unwrap().parse().unwrap()
}

fn hex(digits: &[u8]) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap();
    digits.chunks(2).map(|pair| u8::try_from(digit(pair[0]) << 4 | digit(pair[1])).unwrap()).collect()
}

/// Takes the first message off `bytes`, as text; `None` while it is not whole.
pub(crate) fn take(side: Side, bytes: &mut Vec<u8>) -> Option<String> {
    let header = Header::read(bytes).unwrap()?;
    if bytes.len() < header.total {
        return None;
    }
    let message: Vec<u8> = bytes.drain(..header.total).collect();
    Some(decode(side, header.tag, &message[HEADER_BYTES..]))
}

/// Every message in `bytes`, as text; what is left of an incomplete one is shown as such.
pub(crate) fn all(side: Side, bytes: &[u8]) -> Vec<String> {
    let mut rest = bytes.to_vec();
    let mut messages: Vec<String> = std::iter::from_fn(|| take(side, &mut rest)).collect();
    if !rest.is_empty() {
        messages.push(format!("incomplete {}", rest.escape_ascii()));
    }
    messages
}

/// A message as text, in the notation of scripts.
pub(crate) fn decode(side: Side, tag: u8, body: &[u8]) -> String {
    let (name, fields) = match side {
        Side::Client => said_by_client(tag, body).unwrap_or_else(|| raw(tag, body)),
        Side::Server => said_by_server(tag, body),
    };
    let mut text = name.to_owned();
    for field in fields {
        text.push(' ');
        text.push_str(&quoted(&field));
    }
    text
}

fn quoted(field: &[u8]) -> String {
    let text = String::from_utf8_lossy(&shortened(field)).into_owned();
    let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '@' | '.');
    if !text.is_empty() && text.chars().all(bare) { text } else { format!("{text:?}") }
}

fn shortened(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for run in field.chunk_by(|a, b| a == b) {
        if run[0] == b'x' && run.len() >= RUN_MIN {
            out.extend_from_slice(format!("@{}", run.len()).as_bytes());
        } else {
            out.extend_from_slice(run);
        }
    }
    out
}

type Fields = Vec<Vec<u8>>;

/// `None`: it is not laid out as its type says.
fn said_by_client(tag: u8, body: &[u8]) -> Option<(&'static str, Fields)> {
    let whole =
        |behind: usize| cstr(body).filter(|(_, rest)| rest.len() == behind).map(|(text, _)| text.to_vec());
    let nothing = |name| body.is_empty().then(|| (name, vec![]));
    match tag {
        b'Q' => Some(("Query", vec![whole(0)?])),
        b'P' => {
            let (name, rest) = cstr(body)?;
            let (text, types) = cstr(rest)?;
            let (count, types) = types.split_first_chunk()?;
            let sound = types.len() == usize::from(u16::from_be_bytes(*count)) * 4;
            let oid = |oid: &[u8]| u32::from_be_bytes(oid.try_into().unwrap()).to_string().into_bytes();
            let fields = [name.to_vec(), text.to_vec()].into_iter().chain(types.chunks(4).map(oid));
            sound.then(|| ("Parse", fields.collect()))
        }
        b'B' => {
            let (portal, rest) = cstr(body)?;
            let (name, rest) = cstr(rest)?;
            let mut fields = vec![portal.to_vec(), name.to_vec()];
            let mut values = rest.get(4..rest.len().checked_sub(2)?)?;
            while let Some((length, rest)) = values.split_first_chunk() {
                let (value, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
                fields.push(value.to_vec());
                values = rest;
            }
            Some(("Bind", fields))
        }
        b'D' | b'C' => {
            let (kind, name) = body.split_at_checked(1)?;
            let (name, []) = cstr(name)? else { return None };
            Some((if tag == b'D' { "Describe" } else { "Close" }, vec![kind.to_vec(), name.to_vec()]))
        }
        b'E' => Some(("Execute", vec![whole(4)?])),
        b'S' => nothing("Sync"),
        b'H' => nothing("Flush"),
        b'X' => nothing("Terminate"),
        b'd' => Some(("CopyData", vec![body.to_vec()])),
        b'c' => nothing("CopyDone"),
        b'f' => Some(("CopyFail", vec![whole(0)?])),
        b'F' => {
            let oid = u32::from_be_bytes(*body.first_chunk()?);
            Some(("FunctionCall", vec![oid.to_string().into_bytes()]))
        }
        _ => Some(("?", vec![vec![tag], body.to_vec()])),
    }
}

/// The bytes of a message, as they may stand in a script.
fn raw(tag: u8, body: &[u8]) -> (&'static str, Fields) {
    let mut message = Vec::new();
    put(&mut message, tag, |out| out.extend_from_slice(body));
    ("Raw", vec![message.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect()])
}

fn said_by_server(tag: u8, body: &[u8]) -> (&'static str, Fields) {
    let oid = |oid: &[u8]| u32::from_be_bytes(oid.try_into().unwrap()).to_string().into_bytes();
    match tag {
        b'1' => ("ParseComplete", vec![]),
        b'2' => ("BindComplete", vec![]),
        b'3' => ("CloseComplete", vec![]),
        b'n' => ("NoData", vec![]),
        b's' => ("PortalSuspended", vec![]),
        b'I' => ("EmptyQueryResponse", vec![]),
        b'c' => ("CopyDone", vec![]),
        b'd' => ("CopyData", vec![body.to_vec()]),
        b'G' => ("CopyIn", vec![]),
        b'H' => ("CopyOut", vec![]),
        b'C' => ("CommandComplete", vec![cstr(body).unwrap().0.to_vec()]),
        b'Z' => ("ReadyForQuery", vec![body.to_vec()]),
        b'T' => {
            let columns = decode_row_description(body).unwrap();
            ("RowDescription", columns.into_iter().map(<[u8]>::to_vec).collect())
        }
        b't' => ("ParameterDescription", body[2..].chunks(4).map(oid).collect()),
        b'D' => {
            let values = decode_data_row(body).unwrap();
            ("DataRow", values.into_iter().map(|value| value.unwrap_or(b"NULL").to_vec()).collect())
        }
        b'V' => ("FunctionCallResponse", vec![body[4..].to_vec()]),
        b'S' | b'A' => {
            let body = if tag == b'A' { &body[4..] } else { body };
            let (first, rest) = cstr(body).unwrap();
            let name = if tag == b'S' { "ParameterStatus" } else { "Notification" };
            (name, vec![first.to_vec(), cstr(rest).unwrap().0.to_vec()])
        }
        b'E' | b'N' => {
            let error = ServerError::decode(body).unwrap();
            let name = match error.severity {
                Severity::Error => "Error",
                Severity::Fatal | Severity::Panic => "Fatal",
                Severity::Notice | Severity::Warning => "Notice",
            };
            (name, vec![error.code.to_string().into_bytes(), error.message.into_bytes()])
        }
        _ => ("?", vec![vec![tag], body.to_vec()]),
    }
}

/// Whether `actual`, a message as [`decode`] writes it, is what a script expects.
pub(crate) fn matches(expected: &[String], actual: &str) -> bool {
    let actual = &split(actual)[0];
    let expected_fields = match expected.split_last() {
        Some((last, fields)) if last == "_" => {
            if actual.len() < fields.len() {
                return false;
            }
            fields
        }
        _ if expected.len() != actual.len() => return false,
        _ => expected,
    };
    expected_fields.iter().zip(actual).all(|(expected, actual)| match expected.strip_prefix('~') {
        Some(part) => actual.contains(part),
        None => expected == actual,
    })
}
