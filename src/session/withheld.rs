//! What a client that listens is told only behind the notifications that belong in front of it.
//!
//! PostgreSQL tells a session the notifications that were committed before its own transaction ended in front of that one's
//! ReadyForQuery. Those come here by the shared connection, so a ReadyForQuery waits until they are there. Where several stand
//! in a row, because the client has not waited for answers, what its own server tells (it listens to the same channels for as
//! long as it is the client's) shows which notification belongs in front of which. A pure machine.

use std::collections::BTreeMap;

use super::ears::{messages, print};

/// Places in answers that are not passed on before it is known which notifications belong there.
#[derive(Debug, Default)]
pub(super) struct Withheld {
    places: Vec<Place>,
    end: End,
    /// Notifications (whole messages) that have come already.
    mail: Vec<u8>,
}

/// What follows upon the last of the answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum End {
    /// Nothing: whatever has come is told in front of it.
    #[default]
    Last,
    /// More of them: what its server has not told so far is perhaps told there.
    More,
}

/// Bytes of notifications that are kept for further answers.
const KEPT_MAX: usize = 256 * 1024;

/// A place where notifications belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// How many bytes go before.
    pub at: usize,
    /// How that is known.
    pub sign: Sign,
}

/// How it is known that notifications belong somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// The server has told this one there ([`print()`]).
    Told(u64),
    /// A ReadyForQuery outside a transaction follows.
    Ready,
}

impl Place {
    const fn told(&self) -> Option<u64> {
        match self.sign {
            Sign::Told(print) => Some(print),
            Sign::Ready => None,
        }
    }
}

impl Withheld {
    /// From where on nothing is passed on; `None`: everything is.
    pub(super) fn since(&self) -> Option<usize> {
        self.places.first().map(|place| place.at)
    }

    /// More places, in answers that begin here, and what follows upon those.
    pub(super) fn add(&mut self, places: Vec<Place>, begin: usize, end: End) {
        self.end = end;
        self.places.extend(places.into_iter().map(|place| Place { at: begin + place.at, ..place }));
    }

    /// These have come.
    pub(super) fn hear(&mut self, mail: &[u8]) {
        self.mail.extend_from_slice(mail);
    }

    /// What the server has told that the client has not been told so far ([`print()`]), and how often.
    pub(super) fn told(&self) -> BTreeMap<u64, usize> {
        let mut told = BTreeMap::new();
        for print in self.places.iter().filter_map(Place::told) {
            *told.entry(print).or_default() += 1;
        }
        told
    }

    /// What has come so far and is still to be told.
    pub(super) fn take_mail(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.mail)
    }

    /// Puts what has come into the answers that were withheld (`held`, the rest of those since [`Self::since`]). Nothing
    /// is withheld any more.
    pub(super) fn merge(&mut self, held: &[u8]) -> Vec<u8> {
        let Self { places, end, mut mail } = std::mem::take(self);
        let Some(begin) = places.first().map(|place| place.at) else { return [&mail, held].concat() };
        let end = if mail.len() > KEPT_MAX { End::Last } else { end };
        let ends = ends(&places, &mail, end);
        let mut merged = Vec::with_capacity(held.len() + mail.len());
        let (mut answered, mut told) = (0, 0);
        for (place, end) in places.iter().zip(ends) {
            let at = (place.at - begin).min(held.len());
            merged.extend_from_slice(&held[answered..at]);
            merged.extend_from_slice(&mail[told..end]);
            (answered, told) = (at, end);
        }
        merged.extend_from_slice(&held[answered..]);
        self.mail = mail.split_off(told);
        merged
    }
}

/// Up to where in the mail notifications are told at each place. What has come in front of the first that the server has told was
/// there before that server listened; what came behind the last was committed behind all these answers.
fn ends(places: &[Place], mail: &[u8], upon: End) -> Vec<usize> {
    let mut ends = vec![0; places.len()];
    let mut signs = places.iter().enumerate().filter_map(|(place, sign)| Some((place, sign.told()?)));
    let (mut next, mut last_found, mut end) = (signs.next(), None, 0);
    for message in messages(mail) {
        let begin = end;
        end += message.len();
        let Some((place, told)) = next else { break };
        if print(message) == told {
            if last_found.is_none() {
                ends[0] = begin;
            }
            ends[place] = end;
            last_found = Some(place);
            next = signs.next();
        }
    }
    if upon == End::Last {
        let last_ready = || places.iter().rposition(|place| place.sign == Sign::Ready);
        let last = last_found.map_or(0, |found| found.max(last_ready().unwrap_or(0)));
        ends[last..].fill(mail.len());
    }
    for place in 1..ends.len() {
        ends[place] = ends[place].max(ends[place - 1]);
    }
    ends
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::{
        frame::{put, put_cstr},
        message::{encode_command_complete, encode_ready_for_query},
    };

    fn notification(payload: &str) -> Vec<u8> {
        let mut message = Vec::new();
        put(&mut message, b'A', |out| {
            out.extend_from_slice(&7_u32.to_be_bytes());
            put_cstr(out, b"news");
            put_cstr(out, payload.as_bytes());
        });
        message
    }

    /// What a server says, and where notifications belong in what of it is passed on: `c` is CommandComplete, `z` ReadyForQuery,
    /// everything else a notification that the client hears otherwise.
    fn said(words: &[String]) -> (Vec<u8>, Vec<Place>) {
        let (mut bytes, mut places) = (Vec::new(), Vec::new());
        for word in words {
            let mut place = |sign| places.push(Place { at: bytes.len(), sign });
            match word.as_str() {
                "c" => encode_command_complete(&mut bytes, "c"),
                "z" => {
                    place(Sign::Ready);
                    encode_ready_for_query(&mut bytes, b'I');
                }
                payload => place(Sign::Told(print(&notification(payload)))),
            }
        }
        (bytes, places)
    }

    /// What the client is told, in the same words.
    fn told(mut bytes: &[u8]) -> Vec<String> {
        let mut words = Vec::new();
        for message in messages(bytes) {
            bytes = &bytes[message.len()..];
            words.push(match message[0] {
                b'C' => "c".to_owned(),
                b'Z' => "z".to_owned(),
                _ => String::from_utf8_lossy(&message[14..message.len() - 1]).into_owned(),
            });
        }
        assert_eq!(bytes, b"", "a message in part");
        words
    }

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    /// Merges; whatever was sent before (`sent` bytes) makes no difference.
    fn merged(answers: &[String], mail: &[String], sent: usize) -> Vec<String> {
        merged_upto(answers, mail, sent, End::Last).0
    }

    /// The same, and what is left.
    fn merged_upto(answers: &[String], mail: &[String], sent: usize, end: End) -> (Vec<String>, Vec<String>) {
        let (bytes, places) = said(answers);
        let begin = places.first().map_or(0, |place| place.at);
        let mut withheld = Withheld::default();
        withheld.add(places, sent, end);
        let mut mail = mail.iter().map(|payload| notification(payload));
        withheld.hear(&mail.next().unwrap_or_default());
        withheld.hear(&mail.flatten().collect::<Vec<u8>>());
        let merged = withheld.merge(&bytes[begin..]);
        assert_eq!(withheld.since(), None);
        (told(&[&bytes[..begin], &merged].concat()), told(&withheld.take_mail()))
    }

    #[test]
    fn what_belongs_to_further_answers_is_kept_for_them() {
        for (answers, mail, expected, left) in [
            ("c 1 z", "1 2", "c 1 z", "2"),
            ("c z", "1", "c z", "1"),
            ("c 2 z c", "1 2 3 4", "c 1 2 z c", "3 4"),
            ("c 2 3 z", "1 2", "c 1 2 z", ""),
        ] {
            let (told, kept) = merged_upto(&words(answers), &words(mail), 0, End::More);
            assert_eq!((told, kept), (words(expected), words(left)), "{answers} with {mail}");
        }
        // Not without bounds.
        let much: Vec<_> = (0..KEPT_MAX / 10).map(|number| number.to_string()).collect();
        let (told, kept) = merged_upto(&words("c z"), &much, 0, End::More);
        assert_eq!((told.len(), kept.len()), (much.len() + 2, 0));
    }

    #[test]
    fn notifications_stand_where_the_server_would_have_told_them() {
        for (answers, mail, expected) in [
            ("c z", "", "c z"),
            ("c z", "1 2", "c 1 2 z"),
            ("c 1 z", "1", "c 1 z"),
            // What was there before, and what has come since.
            ("c 2 z", "1 2 3", "c 1 2 3 z"),
            // Several transactions sent at once.
            ("c 1 z c 2 z c z", "1 2", "c 1 z c 2 z c z"),
            ("c z c 2 3 z c z", "1 2 3 4", "c 1 z c 2 3 z c 4 z"),
            ("c z c z", "1", "c 1 z c z"),
            ("c z c 1 z", "1", "c z c 1 z"),
            // It was not waited for: it comes later.
            ("c 1 z c 2 z", "1", "c 1 z c z"),
            ("c 2 z c 3 z", "1", "c 1 z c z"),
            ("c 1 z c 2 z", "", "c z c z"),
            // Told at rest, in front of the next answers.
            ("1 c", "1", "1 c"),
            ("z 1 c", "1 2", "z 1 2 c"),
            // The same twice.
            ("c 1 z c 1 z", "1 1", "c 1 z c 1 z"),
        ] {
            assert_eq!(merged(&words(answers), &words(mail), 3), words(expected), "{answers} with {mail}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

        /// However many transactions are under way at once: each notification stands where PostgreSQL would have told it.
        #[test]
        fn as_postgresql_would_have(
            before in 0..3_usize,
            transactions in prop::collection::vec(0..3_usize, 1..5),
            behind in 0..3_usize,
            kinds in 1..100_usize,
        ) {
            let mut number = 0;
            let mut next = || {
                number += 1;
                (number % kinds).to_string()
            };
            let early: Vec<_> = (0..before).map(|_| next()).collect();
            let (mut answers, mut mail, mut expected) = (Vec::new(), early.clone(), Vec::new());
            for (place, count) in transactions.iter().enumerate() {
                let sent: Vec<_> = (0..*count).map(|_| next()).collect();
                answers.extend([words("c"), sent.clone(), words("z")].concat());
                let first = if place == 0 { early.clone() } else { Vec::new() };
                expected.extend([words("c"), first, sent.clone(), words("z")].concat());
                mail.extend(sent);
            }
            let late: Vec<_> = (0..behind).map(|_| next()).collect();
            // Where the server has told nothing there is no telling where they came.
            let is_silent = transactions.iter().all(|count| *count == 0);
            let end = if is_silent { 1 + before } else { expected.len() - 1 };
            expected.splice(end..end, late.clone());
            mail.extend(late);
            let merged = merged(&answers, &mail, 0);
            if kinds > number {
                prop_assert_eq!(merged, expected);
            } else {
                let is_answer = |word: &&String| ["c", "z"].contains(&word.as_str());
                let (told, rest): (Vec<_>, Vec<_>) = merged.iter().partition(|word| !is_answer(word));
                prop_assert_eq!(told, mail.iter().collect::<Vec<_>>());
                prop_assert_eq!(rest, answers.iter().filter(is_answer).collect::<Vec<_>>());
            }
        }
    }
}
