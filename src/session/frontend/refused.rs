//! A Bind whose statement is refused behind it.

use super::{Frontend, Header, Passage, put, put_cstr};
use crate::wire::bind::result_formats;

impl Frontend {
    /// Passes it on, for what is wrong with its values: PostgreSQL finds that before it finds that the result has changed. Its
    /// formats of the result do not go along: they are for columns of before, and looked at last.
    #[cold]
    pub(super) fn bind_refused(
        &mut self,
        header: Header,
        message: &[u8],
        (portal, rest): (&[u8], &[u8]),
        put_name: impl FnOnce(&mut Vec<u8>),
        passage: &mut Passage<'_, '_>,
    ) {
        let formats = result_formats(rest).filter(|(_, count)| *count > 1);
        put(passage.splice.insert(), b'B', |out| {
            put_cstr(out, portal);
            put_name(out);
            match formats {
                Some((at, _)) => {
                    out.extend_from_slice(&rest[..at]);
                    out.extend_from_slice(&[0; 2]);
                }
                None => out.extend_from_slice(rest),
            }
        });
        self.leave_out(header, message, passage);
    }
}
