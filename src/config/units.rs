//! Durations and sizes as people write them.

use std::time::Duration;

/// What a unit stands for, in the base unit (nanoseconds, bytes).
type Unit = (&'static str, u128);

const DURATIONS: [Unit; 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("min", 60_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
];

/// As PostgreSQL counts: a kilobyte is 1024 bytes.
const SIZES: [Unit; 6] =
    [("TB", 1 << 40), ("GB", 1 << 30), ("MB", 1 << 20), ("kB", 1 << 10), ("KB", 1 << 10), ("B", 1)];

/// Ten years: nothing here is meant to last longer.
const LONGEST: Duration = Duration::from_secs(3650 * 86_400);
const LARGEST: u64 = 1 << 50;

/// Reads a duration: `500ms`, `1.5s`, `5m`, `1h`, `1d`; a number without a unit is seconds, as with PgBouncer.
///
/// # Errors
/// Says in a plain sentence what is wrong.
pub fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let scale = match unit {
        "" => 1_000_000_000,
        unit => scale(unit, &DURATIONS).ok_or_else(|| {
            format!("`{text}` is no duration: the units are us, ms, s, m, h, d; a bare number is seconds")
        })?,
    };
    let nanos = scaled(number, scale)
        .ok_or_else(|| format!("`{text}` is no duration: expected one like \"500ms\", \"10s\" or \"1h\""))?;
    let nanos = u64::try_from(nanos).ok().filter(|n| Duration::from_nanos(*n) <= LONGEST);
    nanos.map(Duration::from_nanos).ok_or_else(|| format!("`{text}` is too long: at most 3650d"))
}

/// Reads a size: `16MB` (1024² bytes each), `64kB`, `1GB`; a number without a unit is bytes.
///
/// # Errors
/// Says in a plain sentence what is wrong.
pub fn size(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let scale = match unit {
        "" => 1,
        unit => scale(unit, &SIZES)
            .ok_or_else(|| format!("`{text}` is no size: the units are B, kB, MB, GB, TB"))?,
    };
    let bytes = scaled(number, scale)
        .ok_or_else(|| format!("`{text}` is no size: expected one like \"64kB\" or \"32MB\""))?;
    u64::try_from(bytes)
        .ok()
        .filter(|n| *n <= LARGEST)
        .ok_or_else(|| format!("`{text}` is too large: at most 1024TB"))
}

/// The shortest text that [`duration`] reads back: `90s`, `1h`.
pub fn show_duration(duration: Duration) -> String {
    match duration.as_nanos() {
        0 => "0".to_owned(),
        nanos => show(nanos, &DURATIONS, "us"),
    }
}

/// The shortest text that [`size`] reads back: `32MB`.
pub fn show_size(bytes: u64) -> String {
    match bytes {
        0 => "0".to_owned(),
        bytes => show(u128::from(bytes), &SIZES, "B"),
    }
}

fn show(amount: u128, units: &[Unit], smallest: &str) -> String {
    let unit = units.iter().find(|(name, scale)| *name != "min" && amount.is_multiple_of(*scale));
    unit.map_or_else(
        || format!("{}{smallest}", amount / 1_000),
        |(name, scale)| format!("{}{name}", amount / scale),
    )
}

fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim_start())
}

fn scale(unit: &str, units: &[Unit]) -> Option<u128> {
    units.iter().find(|(name, _)| *name == unit).map(|(_, scale)| *scale)
}

/// `number` (digits, perhaps with a fraction) times `scale`, rounded down.
fn scaled(number: &str, scale: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |t: &str| !t.is_empty() && t.len() <= 18 && t.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let places = 10u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let whole = whole.parse::<u128>().ok()?.checked_mul(scale)?;
    whole.checked_add(fraction.parse::<u128>().ok()?.checked_mul(scale)? / places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, micros, shown) in [
            ("500ms", 500_000, "500ms"),
            ("10s", 10_000_000, "10s"),
            ("10", 10_000_000, "10s"),
            ("0.5", 500_000, "500ms"),
            ("1.5 s", 1_500_000, "1500ms"),
            ("90s", 90_000_000, "90s"),
            ("5m", 300_000_000, "5m"),
            ("5min", 300_000_000, "5m"),
            ("60m", 3_600_000_000, "1h"),
            ("1d", 86_400_000_000, "1d"),
            ("7us", 7, "7us"),
            ("0", 0, "0"),
            ("0ms", 0, "0"),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_micros(micros)), "{text}");
            assert_eq!(show_duration(Duration::from_micros(micros)), shown, "{text}");
            assert_eq!(duration(shown), Ok(Duration::from_micros(micros)), "{shown}");
        }
        for text in [
            "",
            "s",
            "-1s",
            "1 2s",
            "1.s",
            ".5s",
            "1..2s",
            "10 seconds",
            "1M",
            "4000d",
            "99999999999999999999d",
            "1e3",
            "½s",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes, shown) in [
            ("32MB", 32 << 20, "32MB"),
            ("16 MB", 16 << 20, "16MB"),
            ("64kB", 64 << 10, "64kB"),
            ("64KB", 64 << 10, "64kB"),
            ("1024MB", 1 << 30, "1GB"),
            ("1.5MB", 3 << 19, "1536kB"),
            ("100", 100, "100B"),
            ("100B", 100, "100B"),
            ("0", 0, "0"),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
            assert_eq!(show_size(bytes), shown, "{text}");
            assert_eq!(size(shown), Ok(bytes), "{shown}");
        }
        for text in ["", "MB", "-1", "1mb", "1Mb", "1K", "2048TB", "1 2MB"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
