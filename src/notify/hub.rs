//! Who listens on what, and what the shared connection must do for it: a pure machine.
//!
//! PostgreSQL hands every session of a database its notifications in one order, that of the queue they are committed to
//! (`async.c`). So where a client's channel passes from its own server to the shared connection, a notification sent on
//! a channel of ours, by that server, divides the stream for both in the same place: the server delivers what comes
//! before this mark, the hub what comes behind it. Nothing is lost and nothing comes twice.

use std::collections::{BTreeMap, BTreeSet};

use crate::wire::state::put_identifier;

/// The name of a channel, as the server gives it.
pub type Channel = Box<[u8]>;

/// A client that listens.
pub type Member = u64;

/// What divides the stream of notifications for one client, see the module.
pub type Mark = u64;

/// Channels of one hub, at most.
pub const CHANNELS_MAX: usize = 4096;

/// Who listens on what, on one database.
#[derive(Debug)]
pub struct Hub {
    /// The channel on which marks are sent.
    marks: Channel,
    members: BTreeMap<Member, Wishes>,
    /// Those who want each channel.
    wanted: BTreeMap<Channel, BTreeSet<Member>>,
    link: Link,
}

/// What one client wants.
#[derive(Debug, Default)]
struct Wishes {
    channels: BTreeMap<Channel, Ear>,
    news: News,
}

/// Whether a client hears a channel by us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ear {
    /// Not before this mark: until then its own server tells it.
    Until(Mark),
    Open,
}

/// What a client is to be told when all its channels are listened on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum News {
    #[default]
    None,
    /// That they are.
    Joined,
    /// That notifications may be missing.
    Gap,
    /// That notifications may be missing, and that they are.
    GapAndJoined,
}

/// The shared connection.
#[derive(Debug)]
enum Link {
    /// There is none, and none is being opened.
    Closed,
    Opening,
    /// It listens on these channels.
    Up {
        listens: BTreeSet<Channel>,
        running: Option<Round>,
        asking: Asking,
    },
}

/// What happens to a hub.
#[derive(Debug)]
pub enum Event {
    /// A client listens on exactly these channels from now on; those that are new to it it hears behind this mark.
    Wants(Member, Vec<Channel>, Mark),
    /// A client is gone.
    Leaves(Member),
    /// The connection that was asked for is there, and listens on nothing.
    Opened,
    /// What was to be run has been run.
    Ran,
    /// The connection is gone, or could not be opened.
    Broke,
    /// What runs takes longer than anybody is to wait for it.
    Late,
    /// A notification has come: its channel and its payload.
    Heard(Channel, Box<[u8]>),
    /// A client is to know when it has been told everything that is committed by now.
    Asks(Member),
}

/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Open a connection, with a pause if the last one broke.
    Open,
    /// Run this on it, and say when it is done.
    Run(Vec<u8>),
    /// Close it.
    Close,
    /// All the client wants is listened on.
    Joined(Member),
    /// There is no room for what the client wants; it listens on what it did before.
    Refused(Member),
    /// The notification that has come is for this client.
    Deliver(Member),
    /// The client may have missed notifications.
    Gap(Member),
    /// What was committed when the client asked has come for it; or it is not to wait for that.
    Abreast(Member),
}

impl Link {
    /// Nobody waits for it any more.
    fn give_up(&mut self, actions: &mut Vec<Action>) {
        if let Self::Up { running, asking, .. } = self {
            asking.give_up(running.as_mut(), actions);
        }
    }
}

impl Hub {
    /// A hub of nobody. `marks` is a channel that nobody else knows.
    pub fn new(marks: Channel) -> Self {
        Self { marks, members: BTreeMap::new(), wanted: BTreeMap::new(), link: Link::Closed }
    }

    /// The channel to send marks on.
    pub fn marks(&self) -> &[u8] {
        &self.marks
    }

    /// Whether the shared connection is there.
    pub const fn is_connected(&self) -> bool {
        matches!(self.link, Link::Up { .. })
    }

    /// Whether nobody listens.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Takes in what has happened.
    pub fn handle(&mut self, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Wants(member, channels, mark) => self.wants(member, channels, mark, &mut actions),
            Event::Leaves(member) => {
                self.set_channels(member, BTreeMap::new());
                self.members.remove(&member);
                if let Link::Up { running, asking, .. } = &mut self.link {
                    asking.forget(member, running.as_mut());
                }
            }
            Event::Opened => {
                self.link = Link::Up { listens: BTreeSet::new(), running: None, asking: Asking::default() };
            }
            Event::Ran => {
                if let Link::Up { listens, running, asking } = &mut self.link
                    && let Some(round) = running.take()
                {
                    asking.answered(&round, &mut actions);
                    *listens = round.goal.unwrap_or_else(|| std::mem::take(listens));
                }
            }
            Event::Late => {
                if let Link::Up { running: Some(round), asking, .. } = &mut self.link {
                    asking.late(round, &mut actions);
                }
            }
            Event::Broke => self.broke(&mut actions),
            Event::Heard(channel, payload) => self.heard(&channel, &payload, &mut actions),
            Event::Asks(member) => {
                self.asks(member, &mut actions);
                // Nothing else has changed.
                return actions;
            }
        }
        self.advance(&mut actions);
        self.tell(&mut actions);
        actions
    }

    fn wants(&mut self, member: Member, channels: Vec<Channel>, mark: Mark, actions: &mut Vec<Action>) {
        let new = channels.iter().filter(|channel| !self.wanted.contains_key(*channel)).count();
        if self.wanted.len() + new > CHANNELS_MAX {
            actions.push(Action::Refused(member));
            return;
        }
        let before = self.members.entry(member).or_default();
        let ear = |channel: &Channel| before.channels.get(channel).copied().unwrap_or(Ear::Until(mark));
        let now = channels.into_iter().map(|channel| (channel.clone(), ear(&channel))).collect();
        before.news = match before.news {
            News::None | News::Joined => News::Joined,
            News::Gap | News::GapAndJoined => News::GapAndJoined,
        };
        self.set_channels(member, now);
    }

    /// Changes what a member wants, in both directions of the index.
    fn set_channels(&mut self, member: Member, now: BTreeMap<Channel, Ear>) {
        let Some(wishes) = self.members.get_mut(&member) else { return };
        for channel in now.keys() {
            self.wanted.entry(channel.clone()).or_default().insert(member);
        }
        let before = std::mem::replace(&mut wishes.channels, now);
        for channel in before.keys().filter(|channel| !wishes.channels.contains_key(*channel)) {
            if let Some(members) = self.wanted.get_mut(channel) {
                members.remove(&member);
                if members.is_empty() {
                    self.wanted.remove(channel);
                }
            }
        }
    }

    /// Whoever relied on the connection misses what is sent until there is another. A mark that was on its way may be
    /// among it: whoever waits for one hears everything from the next connection on.
    fn broke(&mut self, actions: &mut Vec<Action>) {
        self.link.give_up(actions);
        for wishes in self.members.values_mut() {
            let relied = wishes.channels.values().any(|ear| *ear == Ear::Open);
            wishes.news = match wishes.news {
                // The mark is sent when it has joined.
                News::Joined if relied => News::GapAndJoined,
                News::Joined | News::GapAndJoined => continue,
                News::None | News::Gap => {
                    wishes.channels.values_mut().for_each(|ear| *ear = Ear::Open);
                    News::Gap
                }
            };
        }
        self.link = Link::Closed;
    }

    fn heard(&mut self, channel: &Channel, payload: &[u8], actions: &mut Vec<Action>) {
        if *channel == self.marks {
            let mark = std::str::from_utf8(payload).ok().and_then(|text| text.parse().ok());
            let ears = self.members.values_mut().flat_map(|wishes| wishes.channels.values_mut());
            ears.filter(|ear| mark.is_some_and(|mark| **ear == Ear::Until(mark)))
                .for_each(|ear| *ear = Ear::Open);
            return;
        }
        let hears = |member: &&Member| {
            let ear = self.members.get(*member).and_then(|wishes| wishes.channels.get(channel));
            ear == Some(&Ear::Open)
        };
        let members = self.wanted.get(channel).into_iter().flatten();
        actions.extend(members.filter(hears).map(|member| Action::Deliver(*member)));
    }

    /// A round trip that begins now brings everything that is committed now: PostgreSQL signals those who listen before the
    /// committing server answers, and whoever was signalled tells what there is before its next ReadyForQuery.
    fn asks(&mut self, member: Member, actions: &mut Vec<Action>) {
        match &mut self.link {
            Link::Up { running, asking, .. } => {
                asking.add(member, running.as_mut(), actions);
                if running.is_none() && asking.is_due() {
                    actions.push(Action::Run(Vec::new()));
                    *running = Some(asking.begin(None));
                }
            }
            Link::Closed | Link::Opening => actions.push(Action::Abreast(member)),
        }
    }

    /// Brings the connection nearer to what is wanted.
    fn advance(&mut self, actions: &mut Vec<Action>) {
        match &mut self.link {
            Link::Closed if !self.members.is_empty() => {
                self.link = Link::Opening;
                actions.push(Action::Open);
            }
            Link::Opening | Link::Up { .. } if self.members.is_empty() => {
                self.link.give_up(actions);
                self.link = Link::Closed;
                actions.push(Action::Close);
            }
            Link::Up { listens, running: running @ None, asking } => {
                // Whoever asks the server can see what the channel for marks is, and listen on it.
                let is_other = |channel: &&Channel| **channel != self.marks;
                let others = listens.iter().filter(is_other);
                let is_reached =
                    listens.contains(&self.marks) && others.eq(self.wanted.keys().filter(is_other));
                let goal = (!is_reached).then(|| self.wanted.keys().chain([&self.marks]).cloned().collect());
                if goal.is_some() || asking.is_due() {
                    let script = goal.as_ref().map_or_else(Vec::new, |goal| script(listens, goal));
                    actions.push(Action::Run(script));
                    *running = Some(asking.begin(goal));
                }
            }
            Link::Closed | Link::Opening | Link::Up { .. } => {}
        }
    }

    /// Tells those whose channels are all listened on what they wait to hear.
    fn tell(&mut self, actions: &mut Vec<Action>) {
        let Link::Up { listens, running, .. } = &self.link else { return };
        let goal = running.as_ref().and_then(|round| round.goal.as_ref());
        // What is just being given up does not count any more.
        let is_heard =
            |channel: &Channel| listens.contains(channel) && goal.is_none_or(|goal| goal.contains(channel));
        if !is_heard(&self.marks) {
            return;
        }
        for (member, wishes) in &mut self.members {
            if wishes.news == News::None || !wishes.channels.keys().all(is_heard) {
                continue;
            }
            match std::mem::take(&mut wishes.news) {
                News::Joined => actions.push(Action::Joined(*member)),
                News::Gap => actions.push(Action::Gap(*member)),
                News::GapAndJoined => actions.extend([Action::Gap(*member), Action::Joined(*member)]),
                News::None => {}
            }
        }
    }
}

/// What makes a session that listens on `have` listen on `want`.
fn script(have: &BTreeSet<Channel>, want: &BTreeSet<Channel>) -> Vec<u8> {
    let mut sql = Vec::new();
    let commands = [(&b"LISTEN "[..], want.difference(have)), (b"UNLISTEN ", have.difference(want))];
    for (command, channels) in commands {
        for channel in channels {
            sql.extend_from_slice(command);
            put_identifier(&mut sql, channel);
            sql.push(b';');
        }
    }
    sql
}

mod asking;

use asking::{Asking, Round};

#[cfg(test)]
mod tests;
