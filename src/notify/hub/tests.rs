//! The hub's decisions, one by one and at random.

use proptest::prelude::*;

use super::*;

fn channel(name: &str) -> Channel {
    name.as_bytes().into()
}

fn hub() -> Hub {
    Hub::new(channel("m"))
}

fn wants(member: Member, channels: &str, mark: Mark) -> Event {
    Event::Wants(member, channels.split_whitespace().map(channel).collect(), mark)
}

fn heard(name: &str, payload: &str) -> Event {
    Event::Heard(channel(name), payload.as_bytes().into())
}

fn run(sql: &str) -> Action {
    Action::Run(sql.into())
}

fn check(hub: &mut Hub, steps: Vec<(Event, Vec<Action>)>) {
    for (event, expected) in steps {
        let shown = format!("{event:?}");
        assert_eq!(hub.handle(event), expected, "{shown}");
    }
}

#[test]
fn a_client_joins_hears_and_leaves() {
    let mut hub = hub();
    check(
        &mut hub,
        vec![
            (wants(1, "a", 7), vec![Action::Open]),
            (Event::Opened, vec![run("LISTEN \"a\";LISTEN \"m\";")]),
            (Event::Ran, vec![Action::Joined(1)]),
            // Its own server tells it until the mark.
            (heard("a", "x"), vec![]),
            (heard("m", "6"), vec![]),
            (heard("m", "7"), vec![]),
            (heard("a", "x"), vec![Action::Deliver(1)]),
            (heard("b", "x"), vec![]),
            (Event::Leaves(1), vec![Action::Close]),
        ],
    );
    assert!(hub.is_empty());
}

#[test]
fn channels_are_shared_and_changed_one_script_at_a_time() {
    let mut hub = hub();
    check(
        &mut hub,
        vec![
            (wants(1, "a", 1), vec![Action::Open]),
            (Event::Opened, vec![run("LISTEN \"a\";LISTEN \"m\";")]),
            (wants(2, "a \"", 2), vec![]),
            (Event::Ran, vec![run("LISTEN \"\"\"\";"), Action::Joined(1)]),
            (heard("m", "1"), vec![]),
            (Event::Ran, vec![Action::Joined(2)]),
            (heard("m", "2"), vec![]),
            (heard("a", ""), vec![Action::Deliver(1), Action::Deliver(2)]),
            // What it heard before it goes on hearing; what is new waits for the mark.
            (wants(1, "a \"", 3), vec![Action::Joined(1)]),
            (heard("a", ""), vec![Action::Deliver(1), Action::Deliver(2)]),
            (heard("\"", ""), vec![Action::Deliver(2)]),
            (heard("m", "3"), vec![]),
            (heard("\"", ""), vec![Action::Deliver(1), Action::Deliver(2)]),
            (Event::Leaves(2), vec![]),
            (wants(1, "a", 4), vec![run("UNLISTEN \"\"\"\";"), Action::Joined(1)]),
            (heard("\"", ""), vec![]),
            (Event::Ran, vec![]),
        ],
    );
}

#[test]
fn a_client_may_listen_on_the_channel_for_marks() {
    let mut hub = hub();
    check(
        &mut hub,
        vec![
            (wants(1, "a m", 1), vec![Action::Open]),
            (Event::Opened, vec![run("LISTEN \"a\";LISTEN \"m\";")]),
            (Event::Ran, vec![Action::Joined(1)]),
            (wants(1, "a", 2), vec![Action::Joined(1)]),
        ],
    );
}

#[test]
fn a_broken_connection_is_opened_again_and_the_gap_told() {
    let mut hub = hub();
    check(
        &mut hub,
        vec![
            (wants(1, "a", 1), vec![Action::Open]),
            (Event::Broke, vec![Action::Open]),
            (Event::Opened, vec![run("LISTEN \"a\";LISTEN \"m\";")]),
            (Event::Ran, vec![Action::Joined(1)]),
            (heard("m", "1"), vec![]),
            (wants(2, "b", 2), vec![run("LISTEN \"b\";")]),
            (Event::Broke, vec![Action::Open]),
            (wants(1, "a c", 3), vec![]),
            (Event::Opened, vec![run("LISTEN \"a\";LISTEN \"b\";LISTEN \"c\";LISTEN \"m\";")]),
            (Event::Ran, vec![Action::Gap(1), Action::Joined(1), Action::Joined(2)]),
            (heard("a", ""), vec![Action::Deliver(1)]),
            (heard("c", ""), vec![]),
            // The marks are lost with the connection.
            (Event::Broke, vec![Action::Open]),
            (Event::Opened, vec![run("LISTEN \"a\";LISTEN \"b\";LISTEN \"c\";LISTEN \"m\";")]),
            (Event::Ran, vec![Action::Gap(1), Action::Gap(2)]),
            (heard("c", ""), vec![Action::Deliver(1)]),
            (heard("b", ""), vec![Action::Deliver(2)]),
        ],
    );
}

#[test]
fn there_is_a_limit() {
    let mut hub = hub();
    let many = |count: usize| (0..count).map(|n| channel(&n.to_string())).collect();
    assert_eq!(hub.handle(Event::Wants(1, many(CHANNELS_MAX), 1)), [Action::Open]);
    assert_eq!(hub.handle(wants(2, "a", 2)), [Action::Refused(2)]);
    assert_eq!(hub.handle(Event::Wants(3, many(CHANNELS_MAX), 3)), []);
    assert_eq!(hub.handle(wants(1, "0", 4)), []);
    assert_eq!(hub.handle(Event::Leaves(3)), []);
    assert_eq!(hub.handle(wants(2, "a", 2)), []);
}

#[test]
fn one_round_trip_serves_all_who_asked_before_it_began() {
    let (mut hub, plain) = (hub(), || run(""));
    let abreast = |members: &[Member]| members.iter().copied().map(Action::Abreast).collect::<Vec<_>>();
    check(
        &mut hub,
        vec![
            // There is nothing to wait for.
            (Event::Asks(1), abreast(&[1])),
            (wants(1, "a", 1), vec![Action::Open]),
            (Event::Asks(1), abreast(&[1])),
            (Event::Opened, vec![run("LISTEN \"a\";LISTEN \"m\";")]),
            (Event::Asks(1), vec![]),
            (Event::Ran, vec![plain(), Action::Joined(1)]),
            (Event::Asks(2), vec![]),
            (Event::Asks(3), vec![]),
            (Event::Ran, vec![Action::Abreast(1), plain()]),
            // Who asks anew waits anew.
            (Event::Asks(3), vec![]),
            (Event::Ran, vec![Action::Abreast(2), plain()]),
            (Event::Ran, abreast(&[3])),
            (Event::Asks(1), vec![plain()]),
            (Event::Ran, abreast(&[1])),
            // What changes the channels does as well.
            (wants(2, "b", 2), vec![run("LISTEN \"b\";")]),
            (Event::Asks(3), vec![]),
            (Event::Asks(1), vec![]),
            (Event::Leaves(3), vec![]),
            (wants(2, "c", 3), vec![]),
            (Event::Ran, vec![run("LISTEN \"c\";UNLISTEN \"b\";")]),
            (Event::Ran, vec![Action::Abreast(1), Action::Joined(2)]),
            (Event::Asks(1), vec![plain()]),
            (Event::Asks(2), vec![]),
            (Event::Broke, vec![Action::Abreast(1), Action::Abreast(2), Action::Open]),
            (Event::Asks(1), abreast(&[1])),
        ],
    );
}

#[test]
fn nobody_waits_long_nor_again_before_there_was_an_answer_in_time() {
    let (mut hub, plain) = (hub(), || run(""));
    check(
        &mut hub,
        vec![
            (wants(1, "a", 1), vec![Action::Open]),
            (Event::Opened, vec![run("LISTEN \"a\";LISTEN \"m\";")]),
            (Event::Ran, vec![Action::Joined(1)]),
            (Event::Late, vec![]),
            (Event::Asks(1), vec![plain()]),
            (Event::Asks(2), vec![]),
            (Event::Late, vec![Action::Abreast(1), Action::Abreast(2)]),
            (Event::Asks(1), vec![Action::Abreast(1)]),
            (Event::Ran, vec![]),
            // It has answered, but not in time: that it does so again is to be seen first.
            (Event::Asks(1), vec![Action::Abreast(1), plain()]),
            (Event::Asks(1), vec![Action::Abreast(1)]),
            (Event::Late, vec![]),
            (Event::Ran, vec![]),
            (Event::Asks(1), vec![Action::Abreast(1), plain()]),
            (Event::Ran, vec![]),
            (Event::Asks(1), vec![plain()]),
            (Event::Ran, vec![Action::Abreast(1)]),
            // Another connection is another thing.
            (Event::Asks(1), vec![plain()]),
            (Event::Late, vec![Action::Abreast(1)]),
            (Event::Broke, vec![Action::Open]),
            (Event::Opened, vec![run("LISTEN \"a\";LISTEN \"m\";")]),
            (Event::Ran, vec![Action::Gap(1)]),
            (Event::Asks(1), vec![plain()]),
            (Event::Ran, vec![Action::Abreast(1)]),
        ],
    );
}

/// A database with its queue of notifications, the shared connection, and clients with servers of their own.
struct World {
    hub: Hub,
    /// Channel and payload of each notification ever sent, in order.
    queue: Vec<(Channel, Box<[u8]>)>,
    /// How much of it has reached the hub.
    read: usize,
    /// What the shared connection listens on, from which place of the queue on.
    listens: BTreeMap<Channel, usize>,
    opening: bool,
    script: Option<Vec<u8>>,
    clients: BTreeMap<Member, Client>,
    marks: Mark,
}

#[derive(Debug, Default)]
struct Client {
    /// From which place of the queue on it must hear each channel.
    since: BTreeMap<Channel, usize>,
    /// Channels that its own server listens on, until it has sent a mark.
    own: BTreeMap<Channel, usize>,
    mark: Mark,
    heard: Vec<usize>,
    owed: Vec<usize>,
    /// Where the queue ended when it asked.
    asked: Option<usize>,
}

impl World {
    fn new() -> Self {
        Self {
            hub: hub(),
            queue: Vec::new(),
            read: 0,
            listens: BTreeMap::new(),
            opening: false,
            script: None,
            clients: BTreeMap::new(),
            marks: 0,
        }
    }

    fn notify(&mut self, name: Channel, payload: Box<[u8]>) {
        let place = self.queue.len();
        for client in self.clients.values_mut() {
            if client.since.contains_key(&name) {
                client.owed.push(place);
            }
            if client.own.contains_key(&name) {
                client.heard.push(place);
            }
        }
        self.queue.push((name, payload));
    }

    /// A client's transaction has made this the set of its channels; its server is asked and the hub told.
    fn want(&mut self, member: Member, channels: Vec<Channel>) {
        let here = self.queue.len();
        self.marks += 1;
        let client = self.clients.entry(member).or_default();
        if !client.own.is_empty() {
            return;
        }
        client.since.retain(|channel, _| channels.contains(channel));
        // What has not been told by then of a channel left is not told any more, as in PostgreSQL.
        let (queue, heard, since) = (&self.queue, &client.heard, &client.since);
        client.owed.retain(|place| heard.contains(place) || since.contains_key(&queue[*place].0));
        for channel in &channels {
            if !client.since.contains_key(channel) {
                client.own.insert(channel.clone(), here);
                client.since.insert(channel.clone(), here);
            }
        }
        client.mark = self.marks;
        let event = Event::Wants(member, channels, self.marks);
        self.happens(event);
    }

    fn happens(&mut self, event: Event) {
        for action in self.hub.handle(event) {
            match action {
                Action::Open => self.opening = true,
                Action::Run(sql) => self.script = Some(sql),
                Action::Close => {
                    self.opening = false;
                    self.script = None;
                    self.listens.clear();
                    self.read = self.queue.len();
                }
                Action::Joined(member) => {
                    let client = self.clients.get_mut(&member).unwrap();
                    if !client.own.is_empty() {
                        // Its server sends the mark, and hears no more from behind it on.
                        client.own.clear();
                        let mark = client.mark.to_string().into_bytes().into();
                        self.queue.push((channel("m"), mark));
                    }
                }
                Action::Deliver(member) => self.clients.get_mut(&member).unwrap().heard.push(self.read - 1),
                Action::Abreast(member) => {
                    let client = self.clients.get_mut(&member).unwrap();
                    let asked = client.asked.take().unwrap();
                    // Without a connection nobody is made to wait.
                    if self.hub.is_connected() {
                        let missed = |place: &&usize| **place < asked && !client.heard.contains(*place);
                        assert_eq!(client.owed.iter().find(missed), None, "{client:?}");
                    }
                }
                Action::Refused(_) | Action::Gap(_) => panic!("{action:?}"),
            }
        }
    }

    /// A client asks for what is committed so far, if nothing of it is still its own server's to tell.
    fn ask(&mut self, member: Member) {
        let Some(client) = self.clients.get_mut(&member).filter(|client| client.own.is_empty()) else {
            return;
        };
        client.asked = Some(self.queue.len());
        self.happens(Event::Asks(member));
    }

    /// The shared connection gets one step further.
    fn proceed(&mut self) {
        if std::mem::take(&mut self.opening) {
            self.read = self.queue.len();
            return self.happens(Event::Opened);
        }
        if self.read < self.queue.len() {
            let (name, payload) = self.queue[self.read].clone();
            self.read += 1;
            let is_heard = self.listens.get(&name).is_some_and(|since| *since < self.read);
            if is_heard {
                self.happens(Event::Heard(name, payload));
            }
            return;
        }
        if let Some(sql) = self.script.take() {
            // All of the queue was read, as PostgreSQL does before it goes on.
            for command in String::from_utf8(sql).unwrap().split_terminator(';') {
                let (verb, name) = command.split_once(' ').unwrap();
                let name = channel(name.trim_matches('"'));
                match verb {
                    "LISTEN" => self.listens.insert(name, self.queue.len()),
                    _ => self.listens.remove(&name),
                };
            }
            self.happens(Event::Ran);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(3000) })]

    /// Whatever the order of things, every client hears what is sent on its channels once, has heard what was sent before it
    /// asked once it is told so, and hears it in the order of each channel: while one passes from a server to the hub, the hub may lag behind that server on the others.
    #[test]
    fn nothing_is_lost_and_nothing_comes_twice(steps in prop::collection::vec((0..9_u8, 0..16_u8), 0..120)) {
        let mut world = World::new();
        for (kind, what) in steps {
            let names = ["a", "b", "c"];
            match kind {
                0 | 1 => world.notify(channel(names[usize::from(what) % 3]), Box::default()),
                2 => {
                    let set = names.iter().enumerate().filter(|(place, _)| what >> place & 1 == 1);
                    let channels: Vec<_> = set.map(|(_, name)| channel(name)).collect();
                    let member = Member::from(what >> 3);
                    if !channels.is_empty() {
                        world.want(member, channels);
                    }
                }
                3 if world.clients.get(&Member::from(what % 2)).is_some_and(|client| client.own.is_empty()) => {
                    world.clients.remove(&Member::from(what % 2));
                    world.happens(Event::Leaves(Member::from(what % 2)));
                }
                4 => world.ask(Member::from(what % 2)),
                _ => world.proceed(),
            }
        }
        while world.opening || world.script.is_some() || world.read < world.queue.len() {
            world.proceed();
        }
        for client in world.clients.values() {
            prop_assert_eq!(client.asked, None, "nobody was told");
            let by_channel = |places: &[usize]| {
                let mut places = places.to_vec();
                places.sort_by_key(|place| world.queue[*place].0.clone());
                places
            };
            prop_assert_eq!(by_channel(&client.heard), by_channel(&client.owed));
        }
    }
}
