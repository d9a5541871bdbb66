//! What a byte of SQL can begin, and how long a run of them is.

/// What a byte can begin. The last three make up names, the last two dollar tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Other,
    Blank,
    Quote,
    DoubleQuote,
    Symbol,
    Dollar,
    Digit,
    Letter,
}

pub(super) const fn class(byte: u8) -> Class {
    const CLASSES: &[Class; 256] = &classes();
    CLASSES[byte as usize]
}

const fn classes() -> [Class; 256] {
    let mut classes = [Class::Other; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            b' ' | b'\t' | b'\n' | b'\r' | b'\x0b' | b'\x0c' => Class::Blank,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80.. => Class::Letter,
            b'0'..=b'9' => Class::Digit,
            b'\'' => Class::Quote,
            b'"' => Class::DoubleQuote,
            b'$' => Class::Dollar,
            b',' | b'(' | b')' | b'[' | b']' | b'.' | b';' | b':' | b'+' | b'-' | b'*' | b'/' | b'%'
            | b'^' => Class::Symbol,
            b'<' | b'>' | b'=' | b'~' | b'!' | b'@' | b'#' | b'&' | b'|' | b'`' | b'?' => Class::Symbol,
            _ => Class::Other,
        };
        byte += 1;
    }
    classes
}

/// How many bytes of a name `text` begins with. Reading eight bytes at a time was tried, and slower for names as short
/// as they are; four steps without counting in between are not.
#[inline(always)]
pub(super) fn name_length(text: &[u8]) -> usize {
    let mut length = 0;
    while let Some(&[a, b, c, d]) = text.get(length..).and_then(|rest| rest.first_chunk::<4>()) {
        match () {
            () if !in_name(a) => return length,
            () if !in_name(b) => return length + 1,
            () if !in_name(c) => return length + 2,
            () if !in_name(d) => return length + 3,
            () => length += 4,
        }
    }
    length + text[length..].iter().take_while(|&&byte| in_name(byte)).count()
}

const fn in_name(byte: u8) -> bool {
    class(byte) as u8 >= Class::Dollar as u8
}
