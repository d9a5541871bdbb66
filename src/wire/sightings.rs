//! Which texts were seen lately, roughly and in bounded memory: what is sent once and never again is not worth preparing.

use std::sync::atomic::{AtomicU64, Ordering};

/// Texts that are remembered at most. Each has one place, and whoever comes to the same place takes it.
const PLACES: usize = 4096;

/// Fingerprints of the texts seen last.
#[derive(Debug)]
pub struct Sightings(Box<[AtomicU64]>);

impl Default for Sightings {
    fn default() -> Self {
        Self((0..PLACES).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Sightings {
    /// Takes note of a text; whether it was seen before.
    #[inline]
    pub fn again(&self, fingerprint: u64) -> bool {
        // The low bits: those above serve as the rest of the comparison.
        let place = usize::try_from(fingerprint % PLACES as u64).unwrap_or(0);
        self.0.get(place).is_some_and(|seen| seen.swap(fingerprint, Ordering::Relaxed) == fingerprint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_time_counts() {
        let sightings = Sightings::default();
        assert!(!sightings.again(7));
        assert!(sightings.again(7));
        // Another in the same place.
        assert!(!sightings.again(7 + PLACES as u64));
        assert!(!sightings.again(7));
    }
}
