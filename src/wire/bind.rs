//! What stands where in a Bind.

/// How many bytes of what follows a Bind's names stand before the formats of the result, and how many formats those are.
/// `None` where it is not laid out as one (documentation, "Message Formats").
pub fn result_formats(rest: &[u8]) -> Option<(usize, u16)> {
    let number = |at: usize| Some(u16::from_be_bytes(*rest.get(at..)?.first_chunk()?));
    let values = 2 + 2 * usize::from(number(0)?);
    let mut at = values + 2;
    for _ in 0..number(values)? {
        let length = i32::from_be_bytes(*rest.get(at..)?.first_chunk()?);
        // -1 is NULL.
        at = at.checked_add(4)?.checked_add(usize::try_from(length).unwrap_or(0))?;
    }
    let count = number(at)?;
    (rest.len() == at + 2 + 2 * usize::from(count)).then_some((at, count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formats_of_the_result_stand_behind_the_values() {
        let check = |rest: &[u8], expected| assert_eq!(result_formats(rest), expected, "{rest:?}");
        check(b"\0\0\0\0\0\0", Some((4, 0)));
        check(b"\0\0\0\0\0\x02\0\x01\0\0", Some((4, 2)));
        check(b"\0\x01\0\x01\0\x02\0\0\0\x03abc\xff\xff\xff\xff\0\x01\0\0", Some((17, 1)));
        check(b"\0\0\0\x01\0\0\0\0\0\0", Some((8, 0)));
        check(b"\0\0\0\0\0\x01\0\0\0", None);
        for short in
            [&b""[..], b"\0", b"\0\x01", b"\0\0\0\x01", b"\0\0\0\x01\x7f\xff\xff\xff\0\0", b"\0\0\0\0\0"]
        {
            check(short, None);
        }
    }
}
