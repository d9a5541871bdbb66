//! Settings and statements that a server changes or discards under its client.

use std::sync::Arc;

use super::ClientSide;
use crate::{
    server::conn::ServerConn,
    session::inquiry::leads_to_temporary,
    sql::touches::Kinds,
    wire::{frame::HEADER_BYTES, parameters::TRACKED, state::Carried},
};

/// The client has put settings back to what they were at *its* start, which the server, started by us, does not
/// know: it gets them in a moment, and is told so here.
pub(super) fn reset_settings(places: u8, conn: &ServerConn, client: &mut ClientSide<'_>) -> Vec<u8> {
    let mut now = (*conn.parameters).clone();
    (0..TRACKED.len())
        .filter(|place| places & 1 << place != 0)
        .for_each(|place| now.reset(place, client.reset_values));
    let told = client.parameters.status_of_difference(&now);
    *client.parameters = Arc::new(now);
    told
}

/// What became of a ParameterStatus.
pub(super) enum Setting {
    /// It does not follow the client.
    Other,
    /// The client is told.
    Told,
    /// The client is told with ReadyForQuery, if anything has changed for it.
    Held,
}

/// ParameterStatus: what the server reports is what the client has from now on, here and elsewhere.
pub(super) fn setting(message: &[u8], conn: &mut ServerConn, client: &mut ClientSide<'_>) -> Setting {
    if message[HEADER_BYTES..].starts_with(b"search_path\0") && leads_to_temporary(message) {
        client.tenancy.pins |= Kinds::SETTINGS;
    }
    let alike = Arc::ptr_eq(&conn.parameters, client.parameters);
    if !conn.reported(&message[HEADER_BYTES..]) {
        return Setting::Other;
    }
    if !client.tenancy.reported() {
        return Setting::Held;
    }
    if alike {
        *client.parameters = conn.parameters.clone();
    } else if let Some((name, value)) = crate::server::conn::parameter(&message[HEADER_BYTES..]) {
        Arc::make_mut(client.parameters).set(name, value);
    }
    Setting::Told
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
            client.tenancy.loses_copies();
            conn.statements.clear();
        }
        _ => {}
    }
}
