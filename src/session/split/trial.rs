//! A request that a replica tries: kept until it has begun to answer, so that the leader can be asked instead.

use crate::wire::{
    frame::{HEADER_BYTES, Header, cstr},
    pipeline::Pipeline,
};

/// Bytes of a request that are kept, and of an answer that is held back until it is known what it is.
const HELD_MAX: usize = 64 * 1024;

/// One request on a replica, which gets nothing else until it has answered.
#[derive(Debug, Default)]
pub struct Trial {
    stage: Stage,
    request: Vec<u8>,
    /// Bytes of it that have not been sent.
    left: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// There is none.
    #[default]
    None,
    /// Nothing of the answer has been passed on.
    Held,
    /// The client has the beginning of the answer.
    Answered,
}

/// What the beginning of an answer is.
#[derive(Debug, PartialEq, Eq)]
pub enum Beginning {
    /// More of it must come.
    Unclear,
    /// The client's.
    Answer,
    /// The replica cannot do it; everything is here. The SQLSTATE.
    Refusal(([u8; 5], Lasting)),
}

/// Whether the same text would be refused again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasting {
    /// It would.
    Yes,
    /// Perhaps not: the replica had not replayed what it needs, or was in the middle of something.
    No,
}

impl Trial {
    /// Begins one.
    pub fn begin(&mut self, request: &[u8]) {
        self.request.clear();
        self.request.extend_from_slice(request);
        (self.left, self.stage) = (request.len(), Stage::Held);
    }

    /// It is over; the memory is kept.
    pub fn end(&mut self) {
        self.stage = Stage::None;
        if self.request.capacity() > 4096 {
            self.request = Vec::new();
        }
    }

    /// Whether there is one.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.stage != Stage::None
    }

    /// What of these bytes the replica may have.
    #[inline]
    pub fn bound<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        if self.is_on() { &bytes[..self.left.min(bytes.len())] } else { bytes }
    }

    /// So many were taken.
    #[inline]
    pub fn sent(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(bytes);
    }

    /// What was received of the replica, which owes what the pipeline says, from the beginning of its answer on as long as that is not
    /// clear.
    #[inline]
    pub fn hear(&mut self, received: &[u8], pipeline: &Pipeline) -> Beginning {
        if self.stage != Stage::Held {
            return Beginning::Answer;
        }
        // What comes before all of it is sent answers messages of ours. Before any of it is, that may be a refusal, too, unless they
        // are part of its sequence: then nothing that was said of them has an end to wait for.
        let unsent = self.left > 0 && self.left == self.request.len();
        if self.left > 0 && !(unsent && pipeline.owes_ready()) {
            return Beginning::Answer;
        }
        let Some(received) = pipeline.behind_asides(received) else { return Beginning::Answer };
        let heard = beginning(received);
        if heard == Beginning::Answer && !unsent {
            self.stage = Stage::Answered;
        }
        heard
    }

    /// Something of the answer has been passed on.
    #[inline]
    pub fn passed(&mut self) {
        if self.stage == Stage::Held {
            self.stage = Stage::Answered;
        }
    }

    /// Whether the replica has all that it gets.
    #[inline]
    pub fn is_sent(&self) -> bool {
        self.is_on() && self.left == 0
    }

    /// The request, if nothing of the answer has been passed on, and how many bytes at its end were not sent.
    pub fn take_back(&mut self) -> Option<(Vec<u8>, usize)> {
        if self.stage != Stage::Held {
            return None;
        }
        self.stage = Stage::None;
        Some((std::mem::take(&mut self.request), std::mem::take(&mut self.left)))
    }
}

/// Looks at the beginning of an answer.
fn beginning(received: &[u8]) -> Beginning {
    let mut at = 0;
    let mut refusal = None;
    loop {
        let left = &received[at..];
        // What cannot be read is for those to judge who pass it on.
        let Ok(header) = Header::read(left) else { return Beginning::Answer };
        let whole = header.filter(|header| header.total <= left.len());
        let Some(header) = whole else {
            return if received.len() > HELD_MAX { Beginning::Answer } else { Beginning::Unclear };
        };
        let message = &left[..header.total];
        at += header.total;
        match (header.tag, refusal) {
            // Said before, or beside, what matters.
            (b'1' | b'2' | b'3' | b'n' | b't' | b'T' | b'N' | b'S' | b'A', _) => {}
            (b'E', None) => match refused(&message[HEADER_BYTES..]) {
                Some(said) => refusal = Some(said),
                None => return Beginning::Answer,
            },
            (b'Z', Some((code, lasting))) if at == received.len() => {
                return Beginning::Refusal((code, lasting));
            }
            _ => return Beginning::Answer,
        }
    }
}

/// Whether an error is one that the leader would not give, or not for this reason.
fn refused(mut fields: &[u8]) -> Option<([u8; 5], Lasting)> {
    let (mut code, mut routine) = (None, &b""[..]);
    while let Some((field, rest)) = fields.split_first() {
        let Some((text, rest)) = cstr(rest) else { break };
        match field {
            b'C' => code = <[u8; 5]>::try_from(text).ok(),
            b'R' => routine = text,
            _ => {}
        }
        fields = rest;
    }
    let code = code?;
    let lasting = match &code {
        b"25006" => Lasting::Yes,
        // "cached plan must not change result type" is what a replica says that has replayed a change.
        b"0A000" if routine == b"RevalidateCachedQuery" => Lasting::No,
        // "cannot use serializable mode in a hot standby" is said of its client's setting, not of its text.
        b"0A000" if routine == b"GetSerializableTransactionSnapshot" => Lasting::No,
        b"0A000" => Lasting::Yes,
        // A conflict with replay; shutting down.
        b"40001" | b"40P01" | b"57P01" | b"57P02" | b"57P03" => Lasting::No,
        // What the client has prepared yields something else there than where it was told of it.
        b"26000" => Lasting::No,
        b"42601" => return None,
        // What it names may exist, or be allowed, on the leader already.
        [b'4', b'2', ..] | b"3F000" => Lasting::No,
        _ => return None,
    };
    Some((code, lasting))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{frame::message, pipeline::Owed};

    fn error(code: &str, routine: &str) -> Vec<u8> {
        message(b'E', format!("SERROR\0VERROR\0C{code}\0Mm\0R{routine}\0\0").as_bytes())
    }

    #[test]
    fn beginnings_at_every_byte() {
        let ready = message(b'Z', b"I");
        let parsed = message(b'1', b"");
        let row = message(b'D', &[0, 0]);
        let refusal = |code: &[u8; 5], lasting| Beginning::Refusal((*code, lasting));
        for (answer, expected) in [
            ([parsed.clone(), error("25006", "x"), ready.clone()].concat(), refusal(b"25006", Lasting::Yes)),
            ([error("0A000", "x"), ready.clone()].concat(), refusal(b"0A000", Lasting::Yes)),
            (
                [error("0A000", "RevalidateCachedQuery"), ready.clone()].concat(),
                refusal(b"0A000", Lasting::No),
            ),
            (
                [error("0A000", "GetSerializableTransactionSnapshot"), ready.clone()].concat(),
                refusal(b"0A000", Lasting::No),
            ),
            ([error("42P01", "x"), ready.clone()].concat(), refusal(b"42P01", Lasting::No)),
            ([error("26000", "x"), ready.clone()].concat(), refusal(b"26000", Lasting::No)),
            ([error("22012", "x"), ready.clone()].concat(), Beginning::Answer),
            ([parsed.clone(), row.clone()].concat(), Beginning::Answer),
            ([row, error("25006", "x"), ready.clone()].concat(), Beginning::Answer),
            ([parsed, ready].concat(), Beginning::Answer),
        ] {
            assert_eq!(beginning(&answer), expected);
            for end in 0..answer.len() {
                let so_far = beginning(&answer[..end]);
                let may_be =
                    so_far == Beginning::Unclear || (so_far == expected && expected == Beginning::Answer);
                assert!(may_be, "{so_far:?} at {end}");
            }
        }
    }

    #[test]
    fn a_replica_gets_one_request_and_it_can_be_taken_back() {
        let mut trial = Trial::default();
        let mut pipeline = Pipeline::default();
        assert_eq!(trial.bound(b"abc"), b"abc");
        trial.begin(b"ab");
        assert_eq!(trial.bound(b"abc"), b"ab");
        trial.sent(1);
        assert_eq!(trial.hear(b"1\0\0\0\x04", &pipeline), Beginning::Answer);
        assert_eq!((trial.bound(b"bc"), trial.is_sent()), (&b"b"[..], false));
        trial.sent(1);
        assert_eq!((trial.bound(b"c"), trial.is_sent()), (&b""[..], true));
        assert_eq!(trial.take_back(), Some((b"ab".to_vec(), 0)));
        assert!(!trial.is_on());
        trial.begin(b"abc");
        let failed = [error("42P01", "x"), message(b'Z', b"I")].concat();
        let refusal = Beginning::Refusal((*b"42P01", Lasting::No));
        // Whatever was run ahead of it, alone, is no part of the answer: neither where both come at once nor where they do not.
        pipeline.sent(Owed::Aside(None));
        let aside = [message(b'C', b"SET\0"), message(b'Z', b"I")].concat();
        assert_eq!(trial.hear(&aside[..9], &pipeline), Beginning::Answer);
        assert_eq!(trial.hear(&aside, &pipeline), Beginning::Answer);
        assert_eq!(trial.hear(&[&aside[..], &failed[..9]].concat(), &pipeline), Beginning::Unclear);
        assert_eq!(trial.hear(&[&aside[..], &failed].concat(), &pipeline), refusal);
        pipeline.reset();
        // What was asked ahead of it, in its sequence, has no end; in one of its own it has.
        pipeline.sent(Owed::Ours(b'1'));
        assert_eq!(trial.hear(b"1\0\0\0\x04", &pipeline), Beginning::Answer);
        pipeline.sent(Owed::Sync);
        assert_eq!(trial.hear(b"1\0\0\0\x04", &pipeline), Beginning::Unclear);
        assert_eq!(trial.hear(&failed, &pipeline), refusal);
        assert_eq!(trial.hear(b"Z\0\0\0\x05I", &pipeline), Beginning::Answer);
        trial.sent(1);
        assert_eq!(trial.hear(&failed, &pipeline), Beginning::Answer);
        assert_eq!((trial.take_back(), trial.bound(b"bcd")), (Some((b"abc".to_vec(), 2)), &b"bcd"[..]));
        trial.begin(b"ab");
        trial.sent(2);
        assert_eq!(trial.hear(b"D\0\0\0\x04", &pipeline), Beginning::Answer);
        assert_eq!((trial.is_on(), trial.take_back()), (true, None));
        trial.end();
        assert_eq!(trial.bound(b"abc"), b"abc");
    }
}
