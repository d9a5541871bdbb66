//! A setting that holds for one sequence of ours only.

use super::{
    frame::{put, put_cstr},
    statements::{put_close_as, put_parse_as},
};

/// The name of a statement of ours, for a moment.
const NAME: &[u8] = b"pgsteer_local";

/// Appends the messages that set `name` to `value` up to the next Sync; outside a transaction. Neither holds a quote. The
/// statement without a name stays what it is.
pub fn put_local(out: &mut Vec<u8>, name: &str, value: &str) {
    let text = format!("SELECT pg_catalog.set_config('{name}','{value}',true)");
    put_parse_as(NAME, text.as_bytes(), &[0; 2], out);
    put(out, b'B', |out| {
        put_cstr(out, b"");
        put_cstr(out, NAME);
        out.extend_from_slice(&[0; 6]);
    });
    put(out, b'E', |out| out.extend_from_slice(&[0; 5]));
    put_close_as(NAME, out);
}
