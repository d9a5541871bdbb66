//! Verdicts on texts that come again and again without a name.

use parking_lot::Mutex;

use super::{
    lore::Lore,
    verdict::{Noted, Verdict},
};
use crate::wire::statements::fingerprint;

/// Longer texts are read each time. Bounds the memory, with `PLACES`, to 2 MiB.
const TEXT_BYTES_MAX: usize = 4096;

/// Texts kept.
const PLACES: usize = 512;

/// What texts were found to be, shared by the sessions of one worker.
#[derive(Default)]
pub struct Texts {
    /// Only the worker's own thread takes it, so it is always free. Empty until it is needed.
    places: Mutex<Vec<Place>>,
}

#[derive(Default)]
struct Place {
    kept: Option<Box<[u8]>>,
    /// What the text is.
    verdict: u64,
    /// The text that came last and was not kept: only what comes again is.
    passed: u64,
}

impl Texts {
    /// [`Verdict::of`].
    pub fn verdict(&self, text: &[u8], lore: &Lore) -> Verdict {
        if text.len() > TEXT_BYTES_MAX {
            return Verdict::of(text, lore);
        }
        let hash = fingerprint(lore.number, &[text]);
        let mut places = self.places.lock();
        if places.is_empty() {
            places.resize_with(PLACES, Place::default);
        }
        let place = usize::try_from(hash % PLACES as u64).unwrap_or_default();
        places[place].verdict(hash, text, lore)
    }
}

impl Place {
    fn verdict(&mut self, hash: u64, text: &[u8], lore: &Lore) -> Verdict {
        if self.kept.as_deref() == Some(text)
            && let Some(known) = Noted::read(self.verdict, lore)
        {
            return known;
        }
        let verdict = Verdict::of(text, lore);
        if std::mem::replace(&mut self.passed, hash) == hash {
            (self.kept, self.verdict) = (Some(text.into()), Noted::number(verdict, lore));
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_what_a_text_is() {
        let lores = [Lore::of_rows([("f", "a")]), Lore::of_rows([("v", "a")]).numbered(2)];
        let texts = Texts::default();
        let long = format!("select a() -- {}", "x".repeat(TEXT_BYTES_MAX));
        for _ in 0..4 {
            for text in ["select a()", "select 1", "insert into t values (1)", "select b()", &long] {
                for lore in &lores {
                    let verdict = texts.verdict(text.as_bytes(), lore);
                    assert_eq!(verdict, Verdict::of(text.as_bytes(), lore), "{text}");
                }
            }
        }
    }

    #[test]
    fn a_text_is_kept_when_it_comes_again() {
        let (texts, lore) = (Texts::default(), Lore::of_rows([("f", "a")]));
        for expected in [0, 1, 1] {
            texts.verdict(b"select a()", &lore);
            assert_eq!(texts.places.lock().iter().flat_map(|place| &place.kept).count(), expected);
        }
    }
}
