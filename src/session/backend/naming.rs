//! Errors that name one of our statements where the client's own name for it belongs.

use memchr::memmem;

use crate::wire::{
    frame::{HEADER_BYTES, cstr, put, put_cstr},
    named::ClientStatements,
    pipeline::{Passage, Pipeline},
    statements::SERVER_PREFIX,
};

/// The name of the client's with which an error must be told, if it names a statement of ours instead. What is too long to
/// be whole is told as it is.
#[inline]
pub(super) fn clients_name(
    passage: &Passage,
    message: &[u8],
    pipeline: &Pipeline,
    statements: &ClientStatements,
) -> Option<Box<[u8]>> {
    match passage {
        Passage::Pass | Passage::Swallow | Passage::Position | Passage::Evidence => None,
        Passage::Instead(_) | Passage::Meant(_) => None,
        Passage::NameTwice(name) => Some(name.clone()),
        Passage::Name(serial) if names_ours(message) => {
            let name = statements.name_of(*serial).or_else(|| pipeline.name_of(*serial));
            Some(name.unwrap_or_default().into())
        }
        Passage::Name(_) => None,
    }
}

/// Whether an ErrorResponse may name a statement of ours.
fn names_ours(message: &[u8]) -> bool {
    memmem::find(message, &SERVER_PREFIX[..SERVER_PREFIX.len() - 1]).is_some()
}

/// Appends an ErrorResponse with `name` wherever its fields name a statement of ours.
pub(super) fn rename(message: &[u8], name: &[u8], out: &mut Vec<u8>) {
    put(out, message[0], |out| {
        let mut fields = &message[HEADER_BYTES..];
        while let Some((kind, rest)) = fields.split_first().filter(|(kind, _)| **kind != 0) {
            let Some((text, rest)) = cstr(rest) else { break };
            out.push(*kind);
            // The message alone: elsewhere it is the client's own text.
            if *kind == b'M' {
                put_cstr(out, &renamed(text, name))
            } else {
                put_cstr(out, text)
            }
            fields = rest;
        }
        out.push(0);
    });
}

/// A text with the first name of ours in it replaced.
fn renamed(text: &[u8], name: &[u8]) -> Vec<u8> {
    let Some(start) = memmem::find(text, SERVER_PREFIX) else { return text.to_vec() };
    let behind = &text[start + SERVER_PREFIX.len()..];
    let digits = behind.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    [&text[..start], name, &behind[digits..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_alone_is_changed() {
        let mut message = Vec::new();
        put(&mut message, b'E', |out| {
            out.extend_from_slice(b"SERROR\0C08P01\0Mstatement \"pgsteer_2f\" requires 2\0Wpgsteer_2f\0\0");
        });
        assert!(names_ours(&message));
        let mut renamed = Vec::new();
        rename(&message, b"mine", &mut renamed);
        let expected = b"SERROR\0C08P01\0Mstatement \"mine\" requires 2\0Wpgsteer_2f\0\0";
        assert_eq!(&renamed[HEADER_BYTES..], expected);
        assert_eq!(renamed[1..HEADER_BYTES], (expected.len() as u32 + 4).to_be_bytes());
    }
}
