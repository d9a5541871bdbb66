//! Words inside literals that matter although a literal is only data.

use super::flags::Flags;

/// What the content of a literal, as written, can do.
///
/// Looks for the input words that PostgreSQL's date and time types resolve when the literal is parsed (`now`, `today`,
/// `tomorrow`, `yesterday`; manual 8.5.1.4), each between non-letters, and for the name of the read-only settings, which
/// may be an argument of `set_config`. All of them end in `w` or `y`, so only those letters are looked at closely.
pub(super) fn mentions(content: &[u8]) -> Flags {
    let mut flags = Flags::NONE;
    for (at, byte) in content.iter().enumerate() {
        if matches!(byte | 0x20, b'w' | b'y') {
            flags |= ending_at(content, at);
        }
    }
    flags
}

fn ending_at(content: &[u8], at: usize) -> Flags {
    let head = &content[..=at];
    if ends_with(head, b"transaction_read_only").is_some() {
        return Flags::UNLOCKS_WRITES;
    }
    let letter_follows = content.get(at + 1).is_some_and(u8::is_ascii_alphabetic);
    let words: [&[u8]; 4] = [b"now", b"today", b"tomorrow", b"yesterday"];
    let is_word = words
        .iter()
        .filter_map(|word| ends_with(head, word))
        .any(|before| !before.last().is_some_and(u8::is_ascii_alphabetic));
    if is_word && !letter_follows { Flags::PARSED_ALONE } else { Flags::NONE }
}

/// What stands before `end` in `text` if it ends so, case ignored.
fn ends_with<'a>(text: &'a [u8], end: &[u8]) -> Option<&'a [u8]> {
    let (before, tail) = text.split_at(text.len().checked_sub(end.len())?);
    tail.eq_ignore_ascii_case(end).then_some(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_words_between_non_letters() {
        let time = Flags::PARSED_ALONE;
        let unlocks = Flags::UNLOCKS_WRITES;
        let cases: [(&str, Flags); 19] = [
            ("", Flags::NONE),
            ("now", time),
            (" NoW ", time),
            ("{today,1}", time),
            ("2020-01-01 toMORrow", time),
            ("12yesterday", time),
            ("now_or_never", time),
            ("n\u{f6}now", time),
            ("unknown", Flags::NONE),
            ("nowhere", Flags::NONE),
            ("snow", Flags::NONE),
            ("know nowt, snow now", time),
            ("yesterdayx", Flags::NONE),
            ("to day", Flags::NONE),
            ("ow", Flags::NONE),
            ("wwyyWWYY", Flags::NONE),
            ("transaction_read_only", unlocks),
            ("DEFAULT_Transaction_Read_Only=off", unlocks),
            ("transaction_read_only today", unlocks.and(time)),
        ];
        for (content, expected) in cases {
            assert_eq!(mentions(content.as_bytes()), expected, "{content:?}");
        }
    }
}
