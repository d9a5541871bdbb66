//! What the end of a statement, or of a transaction, brings along.

use super::{
    Changed, ClientSide, HEADER_BYTES, Hygiene, Pipeline, Progress, ServerConn, Splice, TransactionStatus,
    command_tag, reset_settings,
};

/// A statement of the client's has come to its end.
#[inline]
pub(super) fn completed(
    message: &[u8],
    last: bool,
    conn: &mut ServerConn,
    client: &mut ClientSide<'_>,
    progress: &mut Progress,
) {
    progress.statements += 1;
    if client.tenancy.awaits_answer() {
        command_tag(&message[HEADER_BYTES..], last, conn, client);
        client.tenancy.completed(last);
    }
}

/// The client gets ReadyForQuery.
pub(super) fn ready(
    pipeline: &Pipeline,
    conn: &mut ServerConn,
    client: &mut ClientSide<'_>,
    splice: &mut Splice<'_>,
    progress: &mut Progress,
) {
    progress.queries += 1;
    client.tenancy.fate.ends();
    let in_transaction = pipeline.status() != TransactionStatus::Idle;
    if !in_transaction {
        progress.transactions += 1;
    }
    if conn.hygiene == Hygiene::Clean && !in_transaction {
        client.tenancy.settles();
    }
    if pipeline.may_release() {
        conn.schema_change = None;
        if conn.unsettled.is_some() {
            progress.settings = progress.settings.max(Changed::OfNewSessions);
        }
    }
    if let Some(places) = client.tenancy.ready(in_transaction) {
        let told = reset_settings(places, conn, client);
        if !told.is_empty() {
            splice.insert().extend_from_slice(&told);
        }
        progress.settings = Changed::OfServer;
    }
    if let Some(heard) = client.heard.as_mut().filter(|_| !in_transaction) {
        heard.ready(splice.len());
    }
}
