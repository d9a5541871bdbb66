//! What a transaction is asked before it is committed, and what the next leader is asked about it.

use super::{Evidence, Moment};
use crate::server::Told;
use crate::wire::{
    error::{ServerError, SqlState},
    frame::{HEADER_BYTES, put, put_cstr},
    message::decode_data_row,
    statements::{FATE_FIRST, put_parse, put_server_name},
};

/// Its number, the position, and the first eight digits of a WAL file's name, the timeline in hexadecimal. No row: it has no
/// number. Any role may ask. The record is written only where no later transaction has ended: whatever has, is in the log.
pub const QUESTION: &[u8] =
    b"SELECT x, CASE WHEN pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot()) \
    OPERATOR(pg_catalog.>) x THEN pg_catalog.pg_current_wal_insert_lsn() \
    ELSE pg_catalog.pg_logical_emit_message(true, 'pgsteer', ''::pg_catalog.text) END, \
    pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 8) \
    FROM pg_catalog.pg_current_xact_id_if_assigned() AS x WHERE x IS NOT NULL";

/// The same of a transaction that begins with it, without a block. It gets its number here, and no later one can have ended
/// in the snapshot of this, so that the record is always written.
pub const FIRST: &[u8] =
    b"SELECT x, pg_catalog.pg_logical_emit_message(true, 'pgsteer', ''::pg_catalog.text), \
    pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 8) \
    FROM pg_catalog.pg_current_xact_id() AS x";

/// The portal in which it is asked where the client's messages make up a sequence.
const PORTAL: &[u8] = b"pgsteer_fate";

/// The number was not assigned yet, or not again since a crash.
pub const IN_THE_FUTURE: &[u8] = b"in the future";

/// Appends the question as a query.
pub fn put_query(out: &mut Vec<u8>) {
    put(out, b'Q', |out| put_cstr(out, QUESTION));
}

/// Appends the Parse of the question with this number.
pub fn put_prepare(id: u64, out: &mut Vec<u8>) {
    put_parse(out, id, if id == FATE_FIRST { FIRST } else { QUESTION });
}

/// Appends the question where it is prepared, in a portal of its own: Bind, Execute, Close, and Flush, so that it is answered
/// before anything behind it is looked at.
pub fn put_execute(id: u64, out: &mut Vec<u8>) {
    put(out, b'B', |out| {
        put_cstr(out, PORTAL);
        put_server_name(out, id);
        out.extend_from_slice(&[0; 6]);
    });
    put(out, b'E', |out| {
        put_cstr(out, PORTAL);
        out.extend_from_slice(&[0; 4]);
    });
    put(out, b'C', |out| {
        out.push(b'P');
        put_cstr(out, PORTAL);
    });
    put(out, b'H', |_| {});
}

/// What the next leader is asked.
pub fn about(evidence: &Evidence) -> Vec<u8> {
    format!("SELECT pg_catalog.pg_xact_status('{}'::pg_catalog.xid8)", evidence.xid).into_bytes()
}

/// What the next leader says of it; `None`: nothing of use.
pub fn status(told: &Told) -> Option<&[u8]> {
    match told.refused.first() {
        None => told.rows.first()?.first()?.as_deref(),
        // `pg_xact_status` has one reason only to refuse a number.
        Some((_, error)) => (error.code == SqlState::INVALID_PARAMETER_VALUE).then_some(IN_THE_FUTURE),
    }
}

/// What a DataRow says.
pub(super) fn read(message: &[u8], asked_at: Moment) -> Option<Evidence> {
    let row = decode_data_row(message.get(HEADER_BYTES..)?).ok()?;
    let [xid, lsn, file] = row[..] else { return None };
    let [xid, lsn, file] = [xid, lsn, file].map(|column| std::str::from_utf8(column.unwrap_or_default()));
    let timeline = u32::from_str_radix(file.ok()?, 16).ok()?;
    Some(Evidence { xid: xid.ok()?.parse().ok()?, timeline, lsn: lsn.ok()?.parse().ok()?, asked_at })
}

/// Whether an ErrorResponse says what will be the same the next time: that something does not exist or is not permitted.
pub(super) fn is_lasting(message: &[u8]) -> bool {
    let error = message.get(HEADER_BYTES..).and_then(ServerError::decode);
    error.is_some_and(|error| error.code.as_str().starts_with("42"))
}
