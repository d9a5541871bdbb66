//! Readings of long texts, kept by their full text.
//!
//! What programs generate is long, and the same again and again: reading a kilobyte costs several times what passing it
//! on does, finding it here a thirtieth of that (`benches/micro-instructions.sh text`).

use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use parking_lot::Mutex;

use super::reading::{Lexicon, Reading};

/// Shorter texts are read each time: many of them hold values, and so are never the same again.
pub const KEPT_BYTES_MIN: usize = 256;

/// Longer texts are read each time: bulk data mostly. Bounds the memory, with `SETS`, to 4 MiB.
pub const KEPT_BYTES_MAX: usize = 8 * 1024;

/// Places for two texts each.
const SETS: usize = 256;

/// What texts were read as, shared by the sessions of one worker.
#[derive(Default)]
pub struct Readings {
    /// Only the worker's own thread takes it, so it is always free. Empty until it is needed.
    sets: Mutex<Vec<Set>>,
}

/// Texts whose hashes choose the same place.
#[derive(Default)]
struct Set {
    /// The one used last, and the one before it.
    kept: [Option<Kept>; 2],
    /// The hash of the text read last that was not kept: only what comes again is.
    passed: u64,
}

struct Kept {
    hash: u64,
    text: Box<[u8]>,
    reading: Reading,
}

impl Readings {
    /// [`Reading::of`].
    #[inline]
    pub fn read(&self, text: &[u8], lexicon: Lexicon) -> Reading {
        if lexicon == Lexicon::Standard && (KEPT_BYTES_MIN..=KEPT_BYTES_MAX).contains(&text.len()) {
            self.find(text)
        } else {
            Reading::of(text, lexicon)
        }
    }

    #[inline(never)]
    fn find(&self, text: &[u8]) -> Reading {
        let hash = FixedState::default().hash_one(text);
        let mut sets = self.sets.lock();
        if sets.is_empty() {
            sets.resize_with(SETS, Set::default);
        }
        let place = usize::from(hash.to_le_bytes()[0]) % SETS;
        sets[place].find(hash, text)
    }
}

impl Set {
    fn find(&mut self, hash: u64, text: &[u8]) -> Reading {
        let is_it =
            |kept: &Option<Kept>| kept.as_ref().is_some_and(|kept| kept.hash == hash && *kept.text == *text);
        if is_it(&self.kept[1]) {
            self.kept.swap(0, 1);
        }
        if let Some(kept) = self.kept[0].as_ref().filter(|_| is_it(&self.kept[0])) {
            return kept.reading;
        }
        let reading = Reading::of(text, Lexicon::Standard);
        if std::mem::replace(&mut self.passed, hash) == hash {
            self.kept.swap(0, 1);
            self.kept[0] = Some(Kept { hash, text: text.into(), reading });
        }
        reading
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(statement: &str, number: usize) -> Vec<u8> {
        let mut text = format!("{statement} -- {number}").into_bytes();
        text.resize(KEPT_BYTES_MIN, b' ');
        text
    }

    fn kept(readings: &Readings) -> usize {
        readings.sets.lock().iter().flat_map(|set| &set.kept).flatten().count()
    }

    #[test]
    fn a_text_is_kept_when_it_comes_again() {
        let readings = Readings::default();
        let text = text("listen a", 1);
        for (expected, again) in [(0, "first"), (1, "second"), (1, "third")] {
            let reading = readings.read(&text, Lexicon::Standard);
            assert_eq!(reading, Reading::of(&text, Lexicon::Standard), "{again} time");
            assert_eq!(kept(&readings), expected, "{again} time");
        }
    }

    #[test]
    fn what_is_found_is_what_the_text_reads_as() {
        let readings = Readings::default();
        let statements = ["select 1", "listen a", "begin", "commit", "set timezone = 'x'", "discard all"];
        let texts: Vec<Vec<u8>> = (0..3000).map(|n| text(statements[n % statements.len()], n)).collect();
        for text in texts.iter().flat_map(|text| [text, text, text]).chain(&texts) {
            assert_eq!(readings.read(text, Lexicon::Standard), Reading::of(text, Lexicon::Standard));
        }
        assert_eq!(kept(&readings), 2 * SETS);
    }

    #[test]
    fn only_long_texts_of_the_usual_rules_are_kept() {
        let readings = Readings::default();
        let (short, long) = (vec![b' '; KEPT_BYTES_MIN - 1], vec![b' '; KEPT_BYTES_MAX + 1]);
        for (text, lexicon) in [
            (short, Lexicon::Standard),
            (long, Lexicon::Standard),
            (text("select '\\'", 1), Lexicon::Backslash),
            (text("select '\\'", 1), Lexicon::Unknown),
        ] {
            for _ in 0..3 {
                assert_eq!(readings.read(&text, lexicon), Reading::of(&text, lexicon));
            }
        }
        assert_eq!(kept(&readings), 0);
    }
}
