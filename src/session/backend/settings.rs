//! Settings and statements that a server changes or discards under its client.

use std::sync::Arc;

use super::ClientSide;
use crate::{
    server::conn::ServerConn,
    wire::{frame::HEADER_BYTES, pipeline::Followed, state::Carried},
};

/// The client has put settings back to what they were at *its* start, which the server, started by us, does not
/// know: it gets them with its next server, and is told so here.
pub(super) fn reset_settings(reset: Followed, client: &mut ClientSide<'_>) -> Vec<u8> {
    let start = client.reset_values;
    let known = client.parameters.clone();
    match reset {
        Followed::AllReset => *client.parameters = start.clone(),
        Followed::Reset(place) => Arc::make_mut(client.parameters).reset(usize::from(place), start),
        Followed::Kept | Followed::Changed => {}
    }
    known.status_of_difference(client.parameters)
}

/// ParameterStatus: what the server reports is what the client has from now on, here and elsewhere.
pub(super) fn setting(message: &[u8], conn: &mut ServerConn, client: &mut ClientSide<'_>) -> bool {
    let alike = Arc::ptr_eq(&conn.parameters, client.parameters);
    if !conn.reported(&message[HEADER_BYTES..]) {
        return false;
    }
    if alike {
        *client.parameters = conn.parameters.clone();
    } else if let Some((name, value)) = crate::server::conn::parameter(&message[HEADER_BYTES..]) {
        Arc::make_mut(client.parameters).set(name, value);
    }
    client.tenancy.reported();
    true
}

/// CommandComplete of a statement that discards.
pub(super) fn command_tag(body: &[u8], conn: &mut ServerConn, client: &mut ClientSide<'_>) {
    let tag = body.strip_suffix(b"\0").unwrap_or(body);
    match tag {
        b"DISCARD ALL" => {
            client.frontend.discarded();
            client.tenancy.discarded();
            *client.state = Carried::NOTHING;
            conn.discarded();
        }
        b"DEALLOCATE ALL" => {
            client.frontend.discarded();
            conn.statements.clear();
        }
        _ => {}
    }
}
