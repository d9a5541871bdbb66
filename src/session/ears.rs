//! What a client hears without a server of its own: the channels that the shared connection listens on for it.

use std::{
    collections::{BTreeSet, VecDeque},
    hash::BuildHasher as _,
    sync::Arc,
    time::Duration,
};

use foldhash::fast::FixedState;

use super::{
    backend::{ClientOf, Heard},
    context::Context,
    withheld::Withheld,
};
use crate::{
    notify::{
        hub::{Channel, Mark},
        switchboard::Subscription,
    },
    pool::lease::Lease,
    server::ask,
    wire::{
        frame::{HEADER_BYTES, Header, cstr},
        state::put_identifier,
    },
};

/// The shared connection has so long to listen on what a client listens on; meanwhile the client waits.
const JOINING_MAX: Duration = Duration::from_secs(2);

/// The server has so long to let go.
const PARTING_MAX: Duration = Duration::from_secs(5);

/// How often it is looked whether there is the right to write again.
const FENCE_RECHECK: Duration = Duration::from_millis(5);

/// A client's place at the shared connection.
pub(super) struct Ears {
    pub(super) seat: Arc<Subscription>,
    /// In which encoding it hears.
    pub(super) encoding: Arc<str>,
    /// What the shared connection was asked to listen on for it.
    pub(super) channels: BTreeSet<Channel>,
    /// Of these, those that it still listens on.
    pub(super) heard: BTreeSet<Channel>,
    /// What the client has sent itself on them, and not heard so far.
    pub(super) sent: Sent,
    /// What waits for notifications that belong in front of it.
    pub(super) withheld: Withheld,
}

/// Notifications of the client's own of which its own server has told, and that come by the shared connection, too.
#[derive(Debug, Default)]
pub struct Sent(VecDeque<u64>);

impl Sent {
    /// Older ones are forgotten: their sender is told as that of others' is.
    const REMEMBERED_MAX: usize = 64;

    /// The client has sent this NotificationResponse.
    pub(super) fn add(&mut self, message: &[u8]) {
        if self.0.len() == Self::REMEMBERED_MAX {
            self.0.pop_front();
        }
        self.0.push_back(print(message));
    }

    /// Whether this one is the client's own.
    fn take(&mut self, message: &[u8]) -> bool {
        let print = print(message);
        let place = self.0.iter().position(|sent| *sent == print);
        place.is_some_and(|place| self.0.remove(place).is_some())
    }
}

/// What a notification says, whoever has sent it.
pub(super) fn print(message: &[u8]) -> u64 {
    FixedState::default().hash_one(message.get(HEADER_BYTES + 4..))
}

impl Ears {
    /// What is heard by it while the client has the server with this process id.
    pub(super) fn beside(&mut self, server: u32) -> Heard<'_> {
        let Self { heard: channels, sent, .. } = self;
        Heard { channels, sent, server, places: Vec::new() }
    }

    /// What has come meanwhile, as messages for the client with this process id. What came after it has stopped listening
    /// is left out.
    pub(super) fn take(&mut self, own: u32) -> Vec<u8> {
        let mut mail = self.seat.mailbox.take();
        let kept = self.withheld.take_mail();
        if !kept.is_empty() {
            // What of it is the client's own may have turned out since.
            mail = [kept, mail].concat();
        }
        if self.heard == self.channels && self.sent.0.is_empty() {
            return mail;
        }
        // What its own server has told came before that, too.
        let mut before = self.withheld.told();
        let mut told = Vec::with_capacity(mail.len());
        for message in messages(&mail) {
            if message.first() != Some(&b'A') {
                told.extend_from_slice(message);
            } else if channel(message).is_some_and(|channel| self.heard.contains(channel))
                || before.get_mut(&print(message)).is_some_and(take_one)
            {
                let is_own = self.sent.take(message);
                put_notification(message, &|_| is_own.then_some(own), &mut told);
            }
        }
        told
    }
}

/// Of a server's notifications (whole messages), those that do not come by the shared connection too.
pub(super) fn others(notifications: &[u8], ears: Option<&Ears>, client_of: ClientOf<'_>) -> Vec<u8> {
    let is_heard = |channel| ears.is_some_and(|ears| ears.heard.contains(channel));
    let mut others = Vec::new();
    for message in messages(notifications).filter(|message| !channel(message).is_some_and(is_heard)) {
        put_notification(message, client_of, &mut others);
    }
    others
}

/// Appends a NotificationResponse, with the process id that its sender was told.
pub(super) fn put_notification(message: &[u8], client_of: ClientOf<'_>, out: &mut Vec<u8>) {
    let told = message
        .get(HEADER_BYTES..)
        .and_then(|body| body.split_first_chunk())
        .and_then(|(pid, rest)| Some((client_of(u32::from_be_bytes(*pid))?, rest)));
    match told {
        Some((pid, rest)) => {
            out.extend_from_slice(&message[..HEADER_BYTES]);
            out.extend_from_slice(&pid.to_be_bytes());
            out.extend_from_slice(rest);
        }
        None => out.extend_from_slice(message),
    }
}

/// What it came to that a client's channels were to pass from its server to the shared connection.
pub(super) enum Parted {
    /// They have; these notifications (whole messages) came before that.
    Done(Vec<u8>),
    /// They have not, for now.
    Stays,
    /// The server is gone; how that showed.
    Lost(String),
    /// The right to write did not come back in time.
    NoRight,
}

/// Lets the shared connection take over what a leased server listens on, and the server let go. `mark` divides what each
/// of them tells of the channels that are new; `None`: none is.
pub(super) async fn part(
    context: Arc<Context>,
    mut lease: Lease,
    seat: Arc<Subscription>,
    channels: Vec<Channel>,
    mark: Option<Mark>,
    patience: Option<Duration>,
) -> (Lease, Parted) {
    if let Some(mark) = mark {
        let joined = tokio::time::timeout(JOINING_MAX, seat.listen(channels, mark)).await;
        if joined != Ok(true) {
            return (lease, Parted::Stays);
        }
    }
    let since = context.clock.now();
    while lease.office() != 0 && !context.router.may_send(lease.office(), context.clock.now()) {
        if patience.is_some_and(|patience| context.clock.now().since(since) >= patience) {
            return (lease, Parted::NoRight);
        }
        tokio::time::sleep(FENCE_RECHECK).await;
    }
    let Some(server) = lease.server() else {
        return (lease, Parted::Lost("it was given back".to_owned()));
    };
    let script = script(seat.marks(), mark);
    let told = match tokio::time::timeout(PARTING_MAX, ask(&mut server.conn.stream, &script)).await {
        Ok(Ok(told)) => told,
        Ok(Err(error)) => return (lease, Parted::Lost(error.to_string())),
        Err(_) => return (lease, Parted::Lost("it did not stop listening in time".to_owned())),
    };
    server.conn.note(&told.parameters);
    let parted = match mark {
        _ if !told.refused.is_empty() => Parted::Stays,
        None => Parted::Done(Vec::new()),
        Some(mark) => match before_mark(&told.notifications, seat.marks(), mark) {
            Some(notifications) => Parted::Done(notifications),
            None => Parted::Lost("a notification of its own did not come back".to_owned()),
        },
    };
    (lease, parted)
}

/// What makes a server send a mark, and let go. Each is a transaction of its own.
fn script(marks: &[u8], mark: Option<Mark>) -> Vec<Vec<u8>> {
    let mut script = Vec::new();
    if let Some(mark) = mark {
        let (mut listen, mut notify) = (b"LISTEN ".to_vec(), b"NOTIFY ".to_vec());
        put_identifier(&mut listen, marks);
        put_identifier(&mut notify, marks);
        notify.extend_from_slice(format!(",'{mark}'").as_bytes());
        script.extend([listen, notify]);
    }
    script.push(b"UNLISTEN *".to_vec());
    script
}

/// The notifications before the mark, those of other marks left out; `None` if it is not there.
fn before_mark(notifications: &[u8], marks: &[u8], mark: Mark) -> Option<Vec<u8>> {
    let mark = mark.to_string();
    let mut before = Vec::new();
    for message in messages(notifications) {
        if channel(message) != Some(marks) {
            before.extend_from_slice(message);
        } else if payload(message) == Some(mark.as_bytes()) {
            return Some(before);
        }
    }
    None
}

fn take_one(count: &mut usize) -> bool {
    let is_left = *count > 0;
    *count = count.saturating_sub(1);
    is_left
}

/// Whole messages, one by one.
pub(super) fn messages(mut messages: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let header = Header::read(messages).ok()??;
        let (message, rest) = messages.split_at_checked(header.total)?;
        messages = rest;
        Some(message)
    })
}

/// The channel of a NotificationResponse.
pub(super) fn channel(message: &[u8]) -> Option<&[u8]> {
    Some(cstr(message.get(HEADER_BYTES + 4..)?)?.0)
}

fn payload(message: &[u8]) -> Option<&[u8]> {
    let (_, rest) = cstr(message.get(HEADER_BYTES + 4..)?)?;
    Some(cstr(rest)?.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame::{put, put_cstr};

    fn told(notifications: &[(&str, &str)]) -> Vec<u8> {
        let mut messages = Vec::new();
        for (channel, payload) in notifications {
            put(&mut messages, b'A', |out| {
                out.extend_from_slice(&7_u32.to_be_bytes());
                put_cstr(out, channel.as_bytes());
                put_cstr(out, payload.as_bytes());
            });
        }
        messages
    }

    #[test]
    fn the_mark_divides() {
        let all = told(&[("a", "1"), ("m", "4"), ("b", "2"), ("m", "5"), ("a", "3")]);
        assert_eq!(before_mark(&all, b"m", 5), Some(told(&[("a", "1"), ("b", "2")])));
        assert_eq!(before_mark(&all, b"m", 6), None);
        assert_eq!(before_mark(&[], b"m", 6), None);
    }

    #[test]
    fn what_comes_otherwise_is_left_out() {
        let all = told(&[("a", "1"), ("b", "2")]);
        let mut renamed = all.clone();
        renamed[HEADER_BYTES + 3] = 9;
        let at = all.len() / 2 + HEADER_BYTES + 3;
        renamed[at] = 9;
        assert_eq!(others(&all, None, &|_| None), all);
        assert_eq!(others(&all, None, &|pid| (pid == 7).then_some(9)), renamed);
    }

    #[test]
    fn what_lets_a_server_go() {
        let shown = |mark| String::from_utf8(script(b"m\"", mark).join(&b';')).unwrap();
        assert_eq!(shown(None), "UNLISTEN *");
        assert_eq!(shown(Some(3)), "LISTEN \"m\"\"\";NOTIFY \"m\"\"\",'3';UNLISTEN *");
    }
}
