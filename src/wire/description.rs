//! What a statement is described as, in a number.

use super::{frame::cstr, statements::fingerprint};

/// Bytes of a description at most: a row has at most 1664 columns, and a statement 65535 parameters.
pub const DESCRIPTION_BYTES_MAX: usize = 512 * 1024;

/// Bytes of a column behind its name: table, place in it, type, size, modifier, format.
const COLUMN_BYTES: usize = 18;

/// What a statement takes and yields, as a server has described it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The types of its parameters as they stand on the wire: their count, then each oid.
    pub types: Box<[u8]>,
    /// A number for what it yields ([`result`]).
    pub result: u64,
}

/// A number for what nothing yields, as nearly as numbers can tell.
pub const NOTHING_YIELDS: u64 = 0;

/// A number for what a RowDescription or NoData body tells. As in PostgreSQL (`equalTupleDescs`) names, types and their
/// modifiers count, and not which table a column is of, nor the format in which it is sent. `None` if it cannot be read.
pub fn result(tag: u8, body: &[u8]) -> Option<u64> {
    if tag != b'T' {
        return Some(fingerprint(0, &[]));
    }
    let (columns, mut rest) = body.split_first_chunk::<2>()?;
    let mut number = fingerprint(1, &[columns]);
    for _ in 0..u16::from_be_bytes(*columns) {
        let (name, fixed) = cstr(rest)?;
        let (fixed, behind) = fixed.split_at_checked(COLUMN_BYTES)?;
        number = fingerprint(number, &[name, &[0], &fixed[6..16]]);
        rest = behind;
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(columns: &[(&str, u32, u8, u8)]) -> Option<u64> {
        let mut body = u16::try_from(columns.len()).unwrap().to_be_bytes().to_vec();
        for (name, table, kind, format) in columns {
            body.extend_from_slice(name.as_bytes());
            body.push(0);
            body.extend_from_slice(&table.to_be_bytes());
            body.extend_from_slice(&[0, 1, 0, 0, 0, *kind, 0, 4, 255, 255, 255, 255, 0, *format]);
        }
        result(b'T', &body)
    }

    #[test]
    fn names_and_types_count() {
        let one = described(&[("n", 5, 23, 0)]);
        assert!(one.is_some());
        assert_eq!(one, described(&[("n", 6, 23, 1)]), "neither the table nor the format");
        let others = [
            described(&[("m", 5, 23, 0)]),
            described(&[("n", 5, 25, 0)]),
            described(&[("n", 5, 23, 0), ("n", 5, 23, 0)]),
            described(&[]),
            result(b'n', b""),
        ];
        for other in others {
            assert!(other.is_some() && other != one && other != Some(NOTHING_YIELDS));
        }
        assert_eq!(result(b'T', b"\0\x01n\0\0"), None);
    }
}
