//! The statements of this world. Each carries its client and its number, and each answer echoes them.

use crate::{ledger::Row, question::Question};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Statement {
    Probe,
    Begin(Option<Row>),
    BeginReadOnly(Option<Row>),
    Commit(Option<Row>),
    Rollback(Option<Row>),
    Insert(Row),
    /// COPY from the client, which is one insert, too.
    Copy(Row),
    Read(Row),
    /// Draws from a sequence, which is a write.
    Draw(Row),
    /// Reads, and takes so many milliseconds.
    Sleep(Row, u64),
    Set(Vec<(String, String)>),
    DiscardAll,
    /// Something that the program wants to know for itself.
    Ours(Question),
    Empty,
}

/// The text of a Query.
pub(crate) fn text_of(body: &[u8]) -> String {
    String::from_utf8_lossy(body.strip_suffix(b"\0").unwrap_or(body)).into_owned()
}

/// The numbers in a text, in order; three at most.
fn numbers(text: &str) -> Vec<u32> {
    let mut numbers = Vec::new();
    let mut digits: Option<u32> = None;
    for byte in text.bytes().chain([b' ']) {
        if byte.is_ascii_digit() {
            digits = Some(digits.unwrap_or(0).wrapping_mul(10).wrapping_add(u32::from(byte - b'0')));
        } else if let Some(number) = digits.take() {
            numbers.push(number);
            if numbers.len() == 3 {
                break;
            }
        }
    }
    numbers
}

impl Statement {
    pub(crate) fn read(text: &str) -> Self {
        if text.starts_with("SELECT r.recovery") {
            return Self::Probe;
        }
        if let Some(question) = Question::read(text) {
            return Self::Ours(question);
        }
        let numbers = numbers(text);
        let row = match numbers.as_slice() {
            [client, number, ..] => Some((*client, *number)),
            _ => None,
        };
        let word = text.split_whitespace().next().unwrap_or_default();
        match (word, row) {
            ("BEGIN", row) if text.contains("READ ONLY") => Self::BeginReadOnly(row),
            ("BEGIN", row) => Self::Begin(row),
            ("COMMIT", row) => Self::Commit(row),
            ("ROLLBACK", row) => Self::Rollback(row),
            ("INSERT", Some(row)) => Self::Insert(row),
            ("COPY", Some(row)) => Self::Copy(row),
            ("SELECT", Some(row)) if text.contains("pg_sleep") => {
                Self::Sleep(row, numbers.get(2).copied().unwrap_or(0).into())
            }
            ("SELECT", Some(row)) if text.contains("nextval") => Self::Draw(row),
            ("SELECT", Some(row)) => Self::Read(row),
            ("SET", _) => Self::Set(text.split(';').filter_map(setting).collect()),
            ("DISCARD", _) if text == "DISCARD ALL" => Self::DiscardAll,
            // Of what else can be discarded nothing is modelled.
            ("DISCARD", _) => Self::Set(Vec::new()),
            _ => Self::Empty,
        }
    }

    /// A prepared statement with its values, all in text form.
    pub(crate) fn bound(text: &str, values: &[u8]) -> Self {
        let values: Vec<u32> = values_of(values).unwrap_or_default();
        match values.as_slice() {
            [client, number] if text.starts_with("INSERT") => Self::Insert((*client, *number)),
            [client, number] => Self::Read((*client, *number)),
            _ => Self::read(text),
        }
    }

    pub(crate) const fn row(&self) -> Option<Row> {
        match self {
            Self::Insert(row) | Self::Copy(row) | Self::Read(row) | Self::Draw(row) | Self::Sleep(row, _) => {
                Some(*row)
            }
            Self::Begin(row) | Self::BeginReadOnly(row) | Self::Commit(row) | Self::Rollback(row) => *row,
            Self::Probe | Self::Set(_) | Self::DiscardAll | Self::Ours(_) | Self::Empty => None,
        }
    }

    pub(crate) const fn has_row(&self) -> bool {
        matches!(self, Self::Insert(_) | Self::Read(_) | Self::Draw(_) | Self::Sleep(..))
    }

    /// Whether only a leader can run it.
    pub(crate) const fn writes(&self) -> bool {
        matches!(self, Self::Insert(_) | Self::Copy(_) | Self::Draw(_))
    }

    /// Whether it reads what is there.
    pub(crate) const fn reads(&self) -> bool {
        matches!(self, Self::Read(_) | Self::Sleep(..))
    }

    pub(crate) const fn ends_block(&self) -> bool {
        matches!(self, Self::Commit(_) | Self::Rollback(_))
    }

    pub(crate) const fn tag(&self) -> &'static str {
        match self {
            Self::Begin(_) | Self::BeginReadOnly(_) => "BEGIN",
            Self::Commit(_) => "COMMIT",
            Self::Rollback(_) => "ROLLBACK",
            Self::Insert(_) => "INSERT 0 1",
            Self::Copy(_) => "COPY 1",
            Self::Set(_) => "SET",
            Self::DiscardAll => "DISCARD ALL",
            Self::Probe | Self::Read(_) | Self::Draw(_) | Self::Sleep(..) | Self::Ours(_) | Self::Empty => {
                "SELECT 1"
            }
        }
    }
}

/// `SET name TO 'value'`.
fn setting(text: &str) -> Option<(String, String)> {
    let (name, value) = text.trim().strip_prefix("SET ")?.split_once(" TO ")?;
    Some((name.to_owned(), value.trim().trim_matches('\'').to_owned()))
}

/// The values of a Bind, behind its names: a count of formats (0), a count of values, each with its length.
fn values_of(bytes: &[u8]) -> Option<Vec<u32>> {
    let (_formats, rest) = bytes.split_at_checked(2)?;
    let (count, mut rest) = rest.split_at_checked(2)?;
    let mut values = Vec::new();
    for _ in 0..u16::from_be_bytes(count.try_into().ok()?) {
        let (length, more) = rest.split_first_chunk::<4>()?;
        let (value, more) = more.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        values.push(std::str::from_utf8(value).ok()?.parse().ok()?);
        rest = more;
    }
    Some(values)
}
