//! Points in time as Patroni writes them: Python's `datetime.isoformat()` with an offset from UTC.

use std::time::Duration;

/// How long after 1970 `text` is, `2026-01-31T12:00:00[.123456]+01:00` or with `Z`; `None` if it is anything else or
/// earlier. Without an offset it is UTC, as Patroni reads it.
pub(super) fn since_1970(text: &str) -> Option<Duration> {
    let (date, rest) = text.split_once(['T', ' '])?;
    let at = rest.find(['Z', '+', '-']).unwrap_or(rest.len());
    let (time, offset) = rest.split_at(at);
    let [year, month, day] = numbers(date, '-')?;
    let (whole, fraction) = time.split_once('.').unwrap_or((time, ""));
    let [hour, minute, second] = numbers(whole, ':').or_else(|| numbers(&format!("{whole}:0"), ':'))?;
    let plausible = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !plausible {
        return None;
    }
    let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    let nanos = match fraction {
        "" => 0,
        digits => format!("{digits:0<9}").get(..9)?.parse().ok()?,
    };
    Some(Duration::new(u64::try_from(seconds - seconds_east(offset)?).ok()?, nanos))
}

fn numbers<const N: usize>(text: &str, between: char) -> Option<[i64; N]> {
    let numbers: Option<Vec<i64>> =
        text.split(between).map(|number| Some(number.parse::<u32>().ok()?.into())).collect();
    numbers?.try_into().ok()
}

fn seconds_east(offset: &str) -> Option<i64> {
    let sign = match offset.get(..1) {
        None | Some("Z") => return Some(0),
        Some("-") => -1,
        Some(_) => 1,
    };
    let [hours, minutes] = numbers(&offset[1..], ':')?;
    Some(sign * (hours * 3600 + minutes * 60))
}

/// In the Gregorian calendar, counted in eras of 400 years that begin with March, so that the leap day is the last.
const fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let in_era = year.rem_euclid(400);
    let from_march = (month + 9) % 12;
    let in_year = (153 * from_march + 2) / 5 + day - 1;
    year.div_euclid(400) * 146_097 + in_era * 365 + in_era / 4 - in_era / 100 + in_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_patroni_writes_them() {
        for (text, expected) in [
            ("1970-01-01T00:00:00+00:00", Some(0)),
            ("2026-01-01T00:00:00+00:00", Some(1_767_225_600)),
            ("2024-02-29T23:59:59Z", Some(1_709_251_199)),
            ("2026-07-01T02:30:00+02:30", Some(1_782_864_000)),
            ("2026-06-30T19:00:00-05:00", Some(1_782_864_000)),
            ("2026-07-01T00:00", Some(1_782_864_000)),
            ("2026-07-01 00:00:00", Some(1_782_864_000)),
            ("2026-13-01T00:00:00Z", None),
            ("2026-07-01", None),
            ("2026-07-01T00:00:00+x", None),
            ("1969-12-31T23:59:59Z", None),
            ("", None),
        ] {
            assert_eq!(since_1970(text), expected.map(Duration::from_secs), "{text}");
        }
        let with_fraction = since_1970("1970-01-01T00:00:01.250+00:00");
        assert_eq!(with_fraction, Some(Duration::from_millis(1250)));
    }
}
