//! What happened, in order: a hash of all of it, and the lines themselves when somebody wants to read them.

use crate::world::Ms;

/// What happened so far.
pub(crate) struct Trace {
    hash: u64,
    phase: Phase,
    lines: Option<Vec<(Ms, &'static str, u64, u64)>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    Over,
}

/// Lines of traffic that are shown before the end; of everything else, all are.
const TRAFFIC_SHOWN: usize = 80;

impl Trace {
    /// Keeps the lines only if they are wanted.
    pub(crate) fn new(wanted: bool) -> Self {
        Self { hash: 0xCBF2_9CE4_8422_2325, phase: Phase::Running, lines: wanted.then(Vec::new) }
    }

    pub(crate) fn note(&mut self, at: Ms, what: &'static str, a: u64, b: u64) {
        if self.phase == Phase::Over {
            return;
        }
        // FNV-1a over the words.
        for word in [at, what.len() as u64, u64::from(what.as_bytes()[0]), a, b] {
            self.hash = (self.hash ^ word).wrapping_mul(0x0100_0000_01B3).rotate_left(7);
        }
        if let Some(lines) = &mut self.lines {
            lines.push((at, what, a, b));
        }
    }

    /// The run is over: in which order a runtime drops its tasks is left to chance.
    pub(crate) const fn end(&mut self) {
        self.phase = Phase::Over;
    }

    pub(crate) const fn hash(&self) -> u64 {
        self.hash
    }

    /// The lines; traffic (in lower case) only where it led to the first violation, or to the end.
    pub(crate) fn tell(&self) -> String {
        let Some(lines) = &self.lines else { return String::new() };
        let end = lines.iter().position(|(_, what, ..)| *what == "VIOLATION").unwrap_or(lines.len());
        let near = if std::env::var_os("SIM_TRACE").is_some() {
            0..=lines.len()
        } else {
            end.saturating_sub(TRAFFIC_SHOWN)..=end
        };
        let shown = lines
            .iter()
            .enumerate()
            .filter(|(place, (_, what, ..))| near.contains(place) || what.starts_with(char::is_uppercase));
        let line = |(at, what, a, b): &(Ms, &'static str, u64, u64)| match *what {
            "in" => {
                let tag = u8::try_from(b >> 32).map_or('?', char::from);
                format!("{at:>7} ms  in {a}: {} of {} bytes\n", tag.escape_default(), b & 0xFFFF_FFFF)
            }
            what => format!("{at:>7} ms  {what} {a} {b}\n"),
        };
        shown.map(|(_, one)| line(one)).collect()
    }
}
