//! Who is served over HTTP at once. When there is no room, whoever has said nothing for longest gives way to the
//! newcomer: neither silent clients nor slow ones can keep a probe out.

use std::{collections::VecDeque, convert::Infallible, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// So many seats, and who has them.
#[derive(Debug)]
pub(super) struct Seats {
    max: usize,
    taken: Mutex<Taken>,
}

/// Those who sit, the one first of whom was heard longest ago.
#[derive(Debug, Default)]
struct Taken {
    /// What the next one is known by.
    next: u64,
    seats: VecDeque<(u64, oneshot::Sender<Infallible>)>,
}

/// One seat; free again when dropped.
#[derive(Debug)]
pub(super) struct Seat {
    number: u64,
    of: Arc<Seats>,
}

/// Ready when the seat was given to somebody else.
pub(super) type Evicted = oneshot::Receiver<Infallible>;

impl Seats {
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, taken: Mutex::default() })
    }

    /// A seat for somebody new.
    pub(super) fn take(self: &Arc<Self>) -> (Seat, Evicted) {
        let (hold, evicted) = oneshot::channel();
        let mut taken = self.taken.lock();
        while taken.seats.len() >= self.max.max(1) {
            taken.seats.pop_front();
        }
        let number = taken.next;
        taken.next += 1;
        taken.seats.push_back((number, hold));
        (Seat { number, of: self.clone() }, evicted)
    }
}

impl Seat {
    /// Its holder was heard just now.
    pub(super) fn heard(&self) {
        let seats = &mut self.of.taken.lock().seats;
        if let Some(place) = seats.iter().position(|(number, _)| *number == self.number)
            && let Some(seat) = seats.remove(place)
        {
            seats.push_back(seat);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.of.taken.lock().seats.retain(|(number, _)| *number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_silent_longest_gives_way() {
        let is_evicted =
            |evicted: &mut Evicted| evicted.try_recv() == Err(oneshot::error::TryRecvError::Closed);
        let seats = Seats::new(3);
        let (first, mut first_out) = seats.take();
        let (_second, mut second_out) = seats.take();
        let (third, mut third_out) = seats.take();
        first.heard();
        let (_fourth, mut fourth_out) = seats.take();
        assert!(is_evicted(&mut second_out), "it was heard longest ago");
        for sits in [&mut first_out, &mut third_out, &mut fourth_out] {
            assert!(!is_evicted(sits));
        }
        drop(third);
        let (_fifth, _fifth_out) = seats.take();
        assert!(!is_evicted(&mut first_out), "there was room");
        let (_sixth, _sixth_out) = seats.take();
        assert!(is_evicted(&mut first_out) && !is_evicted(&mut fourth_out));
        // Who was evicted has no seat to give back, and is not heard any more.
        first.heard();
        drop(first);
        assert_eq!(seats.taken.lock().seats.len(), 3);
    }
}
