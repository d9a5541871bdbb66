//! `idle_session_timeout`, as a client has set it: its server would end it, but a client that rests has none.

use super::session::Session;

/// The setting.
const IDLE_SESSION_TIMEOUT: &str = "idle_session_timeout";

/// The units that PostgreSQL knows for a time, in milliseconds (`time_unit_conversion_table`).
const UNITS: [(&str, f64); 7] = [
    ("", 1.0),
    ("us", 0.001),
    ("ms", 1.0),
    ("s", 1000.0),
    ("min", 60_000.0),
    ("h", 3_600_000.0),
    ("d", 86_400_000.0),
];

impl Session {
    /// The client's settings are others: for how long it may rest now follows them.
    pub(super) fn limit_rest(&self) {
        let carried = self.state.get().and_then(|state| state.setting(IDLE_SESSION_TIMEOUT.as_bytes()));
        let limit = match carried {
            Some(setting) => std::str::from_utf8(&setting.value).ok().and_then(milliseconds),
            None if self.flavour.number() == 0 => None,
            None => {
                let at_start = self.context.pools.flavours().settings(self.flavour.number());
                let is_it = |(name, _): &&(String, String)| name.eq_ignore_ascii_case(IDLE_SESSION_TIMEOUT);
                at_start.iter().rev().find(is_it).and_then(|(_, value)| milliseconds(value))
            }
        };
        self.entry.limit_rest(limit.unwrap_or(0));
    }
}

/// A time as PostgreSQL writes it, and as clients do; `None`: only the server can judge it.
fn milliseconds(text: &str) -> Option<u32> {
    let text = text.trim_ascii();
    let digits = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit.trim_ascii_start())?;
    let ms = (number.parse::<f64>().ok()? * scale).round_ties_even();
    // What is longer PostgreSQL does not take.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is whole, and in the range"
    )]
    (0.0..=f64::from(i32::MAX)).contains(&ms).then_some(ms as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_postgresql_has_them() {
        for (text, expected) in [
            ("0", Some(0)),
            ("5000", Some(5000)),
            ("5s", Some(5000)),
            (" 5 s ", Some(5000)),
            ("1500ms", Some(1500)),
            ("1.5s", Some(1500)),
            ("1min", Some(60_000)),
            ("2h", Some(7_200_000)),
            ("24d", Some(2_073_600_000)),
            ("600us", Some(1)),
            ("25d", None),
            ("-1", None),
            ("5S", None),
            ("s", None),
            ("", None),
            ("1e3", None),
        ] {
            assert_eq!(milliseconds(text), expected, "{text:?}");
        }
    }
}
