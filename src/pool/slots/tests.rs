//! The machine, event by event, and under random events against a model.

use super::*;
use std::time::Duration;

pub(super) const LIMITS: SlotLimits = SlotLimits {
    size: 2,
    min_size: 0,
    reserve_size: 0,
    reserve_after: Duration::from_millis(5000),
    lifetime: None,
    idle_timeout: None,
    opening_max: 10,
    handover_slack: Duration::from_millis(10),
    overtakes_max: 2,
    reuse: Reuse::LastUsed,
};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const fn at(millis: u64) -> Moment {
    Moment::from_nanos(1_000_000_000 + millis * 1_000_000)
}

/// Plays a script on a pool of two workers. A line is `event` or `event : actions`, or `@time` in milliseconds:
/// clients are numbers, servers the places they get.
fn check(limits: SlotLimits, script: &str) -> Slots {
    let mut slots = Slots::new(limits, 2);
    let mut now = at(0);
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(time) = line.strip_prefix('@') {
            now = at(time.parse().unwrap());
            continue;
        }
        let (event, expected) = line.split_once(':').unwrap_or((line, ""));
        let actions = slots.handle(now, event_of(event, now));
        let shown: Vec<String> = actions.iter().map(shown).collect();
        let expected: Vec<&str> = expected.split(',').map(str::trim).filter(|one| !one.is_empty()).collect();
        assert_eq!(shown, expected, "{line}\n{script}\n{slots:?}");
    }
    slots
}

fn event_of(text: &str, now: Moment) -> Event {
    let words: Vec<&str> = text.split_whitespace().collect();
    let number =
        |at: usize| words.get(at).map_or(0, |word| word.trim_matches(char::is_alphabetic).parse().unwrap());
    let after = |at: usize| now + ms(number(at) as u64);
    match words[0] {
        // Ticket, worker, start-up settings.
        "acquire" => Event::Acquire {
            ticket: number(1),
            worker: number(2),
            flavour: Flavour::try_from(number(3)).unwrap(),
        },
        "gives-up" => Event::GiveUp(number(1)),
        "opened" => Event::Opened(number(1)),
        "failed" => Event::OpenFailed(number(1), after(2)),
        "no-room" => Event::NoRoom(number(1), after(2)),
        "refused" => Event::LoginRefused(number(1), after(2)),
        "clean" => Event::Returned(number(1), Return::Clean),
        "recovering" => Event::Returned(number(1), Return::Recovering),
        "spent" => Event::Returned(number(1), Return::Close),
        "recovered" => Event::Recovered(number(1)),
        "broken" => Event::Broken(number(1)),
        "close-idle" => Event::CloseIdle,
        "vacate" => Event::Vacate(after(1)),
        "evict" => Event::Evict,
        "retry" => Event::Retry,
        "tick" => Event::Tick,
        other => panic!("what is {other}?"),
    }
}

fn shown(action: &Action) -> String {
    match action {
        Action::Lease(ticket, server) => format!("{server} to {ticket}"),
        Action::Open { server, worker, flavour: 0 } => format!("open {server} w{worker}"),
        Action::Open { server, worker, flavour } => format!("open {server} w{worker} f{flavour}"),
        Action::Close(server) => format!("close {server}"),
    }
}

#[test]
fn nothing_is_kept_that_nobody_uses_while_others_need_the_database() {
    check(
        SlotLimits { min_size: 2, ..LIMITS },
        "
        acquire 1 : open 0 w0
        acquire 2 : open 1 w0
        opened 0 : 0 to 1
        opened 1 : 1 to 2
        clean 0
        vacate 5000 : close 0
        @4000
        recovering 1
        tick
        recovered 1 : close 1
        tick
        @5000
        tick : open 1 w0, open 0 w1
        vacate 5000
        opened 1 : close 1
        acquire 1
        # Somebody has come since.
        opened 0 : 0 to 1
        clean 0
        tick : open 1 w1
        ",
    );
}

#[test]
fn servers_are_opened_up_to_the_limit_and_used_last_in_first_out() {
    let slots = check(
        LIMITS,
        "
        acquire 1 : open 0 w0
        acquire 2 : open 1 w0
        acquire 3
        opened 1 : 1 to 1
        opened 0 : 0 to 2
        clean 0 : 0 to 3
        clean 1
        clean 0
        acquire 4 : 0 to 4
        acquire 5 : 1 to 5
        clean 1
        clean 0
        acquire 6 : 0 to 6
        ",
    );
    assert_eq!(slots.gauges(), Gauges { idle: 1, leased: 1, ..Gauges::default() });
}

#[test]
fn servers_rotate_if_told_to() {
    let rotating = SlotLimits { size: 3, reuse: Reuse::Rotate, ..LIMITS };
    check(
        rotating,
        "
        acquire 1 : open 0 w0
        opened 0 : 0 to 1
        @1
        clean 0
        # Not the same one again while there may be another.
        acquire 1 : open 1 w0
        opened 1 : 1 to 1
        @2
        clean 1
        acquire 1 : 0 to 1
        @3
        clean 0
        acquire 1 w1 : 1 to 1
        @4
        clean 1
        # The one that has idled longest, of whichever worker.
        acquire 1 w1 : 0 to 1
        acquire 2 w1 : open 2 w1
        # It could not be opened: the one there is will do.
        failed 2 1000 : 1 to 2
        @5
        clean 1
        acquire 2 : 1 to 2
        ",
    );
    check(
        SlotLimits { size: 1, ..rotating },
        "
        acquire 1 : open 0 w0
        opened 0 : 0 to 1
        clean 0
        acquire 1 : 0 to 1
        ",
    );
}

#[test]
fn no_more_are_opened_at_once_than_allowed() {
    check(
        SlotLimits { size: 4, opening_max: 1, ..LIMITS },
        "
        acquire 1 : open 0 w0
        acquire 2
        acquire 3
        opened 0 : 0 to 1, open 1 w0
        opened 1 : 1 to 2, open 2 w0
        opened 2 : 2 to 3
        ",
    );
}

#[test]
fn whoever_gives_up_is_passed_over() {
    let slots = check(
        SlotLimits { size: 1, ..LIMITS },
        "
        acquire 1 : open 0 w0
        acquire 2
        acquire 3
        gives-up 1
        gives-up 1
        gives-up 9
        opened 0 : 0 to 2
        gives-up 3
        clean 0
        ",
    );
    assert_eq!(slots.gauges(), Gauges { idle: 1, ..Gauges::default() });
}

#[test]
fn a_worker_prefers_its_own_within_the_slack() {
    let busy = "
        acquire 1 w0 : open 0 w0
        opened 0 : 0 to 1
        acquire 2 w1";
    let limits = SlotLimits { size: 1, ..LIMITS };
    // The server is worker 0's; its own client came later by exactly the slack, and by more.
    check(limits, &format!("{busy}\n@10\nacquire 3 w0\n@50\nclean 0 : 0 to 3\nclean 0 : 0 to 2"));
    check(limits, &format!("{busy}\n@11\nacquire 3 w0\n@50\nclean 0 : 0 to 2\nclean 0 : 0 to 3"));
    // Of three that came in time, two may overtake.
    let three = "acquire 3 w0\nacquire 4 w0\nacquire 5 w0";
    check(
        limits,
        &format!("{busy}\n{three}\nclean 0 : 0 to 3\nclean 0 : 0 to 4\nclean 0 : 0 to 2\nclean 0 : 0 to 5"),
    );
    // An idle server elsewhere is better than none.
    check(limits, &format!("{busy}\nclean 0 : 0 to 2\nclean 0\nacquire 4 w1 : 0 to 4"));
}

#[test]
fn start_up_settings_are_kept_apart() {
    let limits = SlotLimits { size: 1, ..LIMITS };
    // An idle server gives way, and so does one that comes back, if there is no other room.
    check(
        limits,
        "
        acquire 1 : open 0 w0
        opened 0 : 0 to 1
        clean 0
        acquire 2 w0 f1 : close 0, open 0 w0 f1
        opened 0 : 0 to 2
        acquire 3 w0 f2
        @1
        acquire 4 w0 f1
        clean 0 : close 0, open 0 w0 f2
        opened 0 : 0 to 3
        clean 0 : close 0, open 0 w0 f1
        opened 0 : 0 to 4
        ",
    );
    // While there is room, or a server is being opened for that client already, none is closed for it.
    check(
        LIMITS,
        "
        acquire 1 : open 0 w0
        opened 0 : 0 to 1
        acquire 2 w0 f1 : open 1 w0 f1
        acquire 3
        clean 0 : 0 to 3
        clean 0
        acquire 4 : 0 to 4
        opened 1 : 1 to 2
        ",
    );
    // Room may be missing because of others too.
    check(
        LIMITS,
        "
        acquire 1 : open 0 w0
        opened 0 : 0 to 1
        acquire 2 w0 f1 : open 1 w0 f1
        no-room 1 250
        @1
        acquire 3
        clean 0 : close 0
        retry : open 0 w0 f1, open 1 w0
        no-room 1 250
        opened 0 : 0 to 2, open 1 w0
        ",
    );
    // Nor while none could be opened anyway.
    check(
        limits,
        "
        acquire 1 : open 0 w0
        opened 0 : 0 to 1
        acquire 2 w0 f1
        @1
        acquire 3
        clean 0 : close 0, open 0 w0 f1
        refused 0 1000 : open 0 w0
        opened 0 : 0 to 3
        acquire 4
        clean 0 : 0 to 4
        clean 0
        @1001
        tick : close 0, open 0 w0 f1
        opened 0 : 0 to 2
        ",
    );
}

#[test]
fn the_reserve_is_for_those_who_have_waited() {
    check(
        SlotLimits { size: 1, reserve_size: 1, reserve_after: ms(100), ..LIMITS },
        "
        acquire 1 : open 0 w0
        opened 0 : 0 to 1
        @1
        acquire 2
        acquire 3
        @100
        tick
        @101
        tick : open 1 w0
        tick
        opened 1 : 1 to 2
        # The reserve goes when nobody has waited so long.
        gives-up 3
        clean 1 : close 1
        clean 0
        ",
    );
}

#[test]
fn old_servers_are_not_used_again() {
    let limits = SlotLimits { lifetime: Some(ms(1000)), size: 1, ..LIMITS };
    check(
        limits,
        "
        acquire 1 : open 0 w0
        @500
        opened 0 : 0 to 1
        acquire 2
        @1499
        clean 0 : 0 to 2
        acquire 3
        @1500
        clean 0 : close 0, open 0 w0
        opened 0 : 0 to 3
        clean 0
        @2499
        tick
        @2500
        tick : close 0
        ",
    );
}

#[test]
fn idle_servers_go_down_to_the_minimum_and_come_up_to_it() {
    let slots = check(
        SlotLimits { size: 5, min_size: 2, idle_timeout: Some(ms(1000)), ..LIMITS },
        "
        tick : open 0 w0, open 1 w1
        opened 0
        @10
        opened 1
        acquire 1 : 0 to 1
        acquire 2 : 1 to 2
        acquire 3 : open 2 w0
        acquire 4 : open 3 w0
        opened 2 : 2 to 3
        opened 3 : 3 to 4
        clean 3
        @20
        clean 2
        @30
        clean 1
        @40
        clean 0
        @1009
        tick
        # The longest idle first, and no more than are above the minimum.
        @2000
        tick : close 3, close 2
        @9000
        tick
        broken 1 : close 1
        tick : open 1 w1
        ",
    );
    assert_eq!(slots.gauges(), Gauges { idle: 1, opening: 1, ..Gauges::default() });
}

#[test]
fn after_a_failure_there_is_a_pause() {
    check(
        LIMITS,
        "
        acquire 1 : open 0 w0
        failed 0 500
        acquire 2
        @499
        tick
        @500
        tick : open 0 w0, open 1 w0
        failed 0 500
        failed 1 500
        # Reason to believe that it works again.
        retry : open 1 w0, open 0 w0
        opened 1 : 1 to 1
        failed 0 500
        spent 1 : close 1
        @2000
        tick : open 1 w0
        # One that succeeds ends the pause.
        acquire 3 : open 0 w0
        failed 0 500
        opened 1 : 1 to 2, open 0 w0
        ",
    );
}

#[test]
fn a_refusal_is_for_those_settings_alone() {
    check(
        SlotLimits { size: 3, ..LIMITS },
        "
        acquire 1 w0 f1 : open 0 w0 f1
        refused 0 1000
        acquire 2 w0 f1
        acquire 3 : open 0 w0
        opened 0 : 0 to 3
        tick
        @1000
        tick : open 1 w0 f1, open 2 w0 f1
        refused 1 1000
        # One of them got in all the same.
        opened 2 : 2 to 1, open 1 w0 f1
        ",
    );
}

#[test]
fn recovering_servers_count_and_come_back() {
    let slots = check(
        SlotLimits { size: 1, ..LIMITS },
        "
        acquire 1 : open 0 w0
        opened 0 : 0 to 1
        acquire 2
        recovering 0
        tick
        recovered 0 : 0 to 2
        recovering 0
        acquire 3
        broken 0 : close 0, open 0 w0
        broken 0 : close 0, open 0 w0
        ",
    );
    assert_eq!(slots.gauges(), Gauges { opening: 1, waiting: 1, ..Gauges::default() });
}

#[test]
fn closing_idle_servers_leaves_the_others() {
    check(
        SlotLimits { size: 4, ..LIMITS },
        "
        acquire 1 : open 0 w0
        acquire 2 : open 1 w0
        acquire 3 w1 : open 2 w1
        opened 0 : 0 to 1
        opened 1 : 1 to 2
        opened 2 : 2 to 3
        @10
        clean 2
        @20
        clean 1
        # The one that has idled longest gives way to another pool.
        evict : close 2
        close-idle : close 1
        evict
        clean 0
        evict : close 0
        ",
    );
}

#[test]
fn a_smaller_limit_is_reached_as_servers_come_back() {
    let mut slots = check(
        SlotLimits { size: 3, ..LIMITS },
        "
        acquire 1 : open 0 w0
        acquire 2 : open 1 w0
        acquire 3 : open 2 w0
        opened 0 : 0 to 1
        opened 1 : 1 to 2
        opened 2 : 2 to 3
        acquire 4
        ",
    );
    slots.set_limits(SlotLimits { size: 1, ..LIMITS });
    let mut returned = |server| {
        let actions = slots.handle(at(1), Event::Returned(server, Return::Clean));
        actions.iter().map(shown).collect::<Vec<_>>()
    };
    assert_eq!(returned(0), ["close 0"]);
    assert_eq!(returned(1), ["close 1"]);
    assert_eq!(returned(2), ["2 to 4"]);
}

#[test]
fn what_does_not_exist_is_ignored() {
    check(LIMITS, "opened 7\nclean 7\nbroken 7\nrecovered 7\nfailed 7 0\nrefused 7 0\nspent 7\ngives-up 7");
}

mod random;
