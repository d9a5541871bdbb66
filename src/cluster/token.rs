//! A place in a cluster's history that does not depend on who leads it: what a read must see.

use std::{fmt, str::FromStr};

use super::ids::{Lsn, Timeline};

/// A position in the write-ahead log, with the timeline and the cluster it belongs to. A bare position means nothing
/// after a failover: another history passes through it, too.
///
/// As text: `system identifier/timeline/position`, `7710131327877806850/3/1A/2B3C4D8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// The cluster's system identifier.
    pub system_id: u64,
    /// The timeline on which it was written.
    pub timeline: Timeline,
    /// Nothing that the token stands for ends behind this.
    pub lsn: Lsn,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.system_id, self.timeline, self.lsn)
    }
}

/// A text is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not of the form system identifier/timeline/position")]
pub struct NoToken;

impl FromStr for Token {
    type Err = NoToken;

    fn from_str(text: &str) -> Result<Self, NoToken> {
        let mut parts = text.splitn(3, '/');
        let mut next = || parts.next().filter(|part| !part.starts_with('+')).ok_or(NoToken);
        let system_id = next()?.parse().map_err(|_| NoToken)?;
        let timeline = next()?.parse().map_err(|_| NoToken)?;
        let lsn = next()?;
        let halves = lsn.split('/').count() == 2 && !lsn.contains('+');
        let lsn = if halves { lsn.parse().map_err(|_| NoToken)? } else { return Err(NoToken) };
        if timeline == 0 { Err(NoToken) } else { Ok(Self { system_id, timeline, lsn }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let token = Token { system_id: 7_710_131_327_877_806_850, timeline: 3, lsn: Lsn(0x1A_02B3_C4D8) };
        assert_eq!(token.to_string(), "7710131327877806850/3/1A/2B3C4D8");
        assert_eq!(token.to_string().parse(), Ok(token));
        let newest = Token { system_id: u64::MAX, timeline: u32::MAX, lsn: Lsn(u64::MAX) };
        assert_eq!(newest.to_string().parse(), Ok(newest));
    }

    #[test]
    fn what_is_none() {
        for text in [
            "",
            "1",
            "1/2",
            "1/2/3",
            "1/2/3/4/5",
            "1/2/3/g",
            "1/2//4",
            "1/0/3/4",
            "-1/2/3/4",
            "+1/2/3/4",
            "1/+2/3/4",
            "1/2/+3/4",
            "1/2/3/+4",
            "x/2/3/4",
            "1/2/123456789/0",
            " 1/2/3/4",
            "1/4294967296/0/0",
        ] {
            assert_eq!(text.parse::<Token>(), Err(NoToken), "{text}");
        }
    }
}
