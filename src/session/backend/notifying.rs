//! Notifications that a client's own server tells it.

use std::collections::BTreeSet;

use super::{
    ClientSide, HEADER_BYTES,
    ears::{self, Sent},
};
use crate::session::withheld::{Place, Sign};

/// What a client hears without its server.
pub struct Heard<'a> {
    /// On these channels.
    pub channels: &'a BTreeSet<Box<[u8]>>,
    /// What it has sent on them itself.
    pub sent: &'a mut Sent,
    /// Its server's process id.
    pub server: u32,
    /// Where notifications belong in what is passed on.
    pub places: Vec<Place>,
}

impl Heard<'_> {
    /// A ReadyForQuery outside a transaction is about to be passed on, behind so many bytes.
    pub(super) fn ready(&mut self, at: usize) {
        if !self.channels.is_empty() {
            self.places.push(Place { at, sign: Sign::Ready });
        }
    }
}

/// NotificationResponse: a client that hears the channel by other ways is not told twice, and process ids are those that
/// clients were told.
pub(super) fn notify(message: &[u8], client: &mut ClientSide<'_>, out: &mut Vec<u8>) {
    let channel = ears::channel(message).unwrap_or_default();
    match &mut client.heard {
        Some(heard) if heard.channels.contains(channel) => {
            let pid = message.get(HEADER_BYTES..).and_then(|body| body.first_chunk());
            if pid.is_some_and(|pid| u32::from_be_bytes(*pid) == heard.server) {
                heard.sent.add(message);
            }
            heard.places.push(Place { at: out.len(), sign: Sign::Told(ears::print(message)) });
        }
        _ => ears::put_notification(message, client.client_of, out),
    }
}
