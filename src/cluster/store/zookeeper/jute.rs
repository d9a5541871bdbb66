//! The few messages of ZooKeeper's protocol that a reader needs, in its encoding (jute): big-endian numbers, lengths of
//! four bytes. (ZooKeeper's `zookeeper.jute` and "ZooKeeper Programmer's Guide", chapter "ZooKeeper Stack".)

/// Operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// Whether there is a node; with a watch also for the day when there is.
    Exists,
    /// Its content.
    GetData,
    /// The names below it.
    GetChildren,
    /// Brings the server that is asked up to the leader's newest change.
    Sync,
}

impl Operation {
    const fn code(self) -> i32 {
        match self {
            Self::Exists => 3,
            Self::GetData => 4,
            Self::GetChildren => 8,
            Self::Sync => 9,
        }
    }
}

/// The request's number that a ping has, and its answer.
pub(super) const PING: i32 = -2;
/// The number of what authenticates, and of its answer.
pub(super) const AUTH: i32 = -4;
/// The number of a watch's event.
pub(super) const EVENT: i32 = -1;
/// The error of a node that is not there.
pub(super) const NO_NODE: i32 = -101;

/// Appends encoded values.
#[derive(Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    fn int(mut self, value: i32) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    fn long(mut self, value: i64) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    fn bytes(self, value: &[u8]) -> Self {
        let mut this = self.int(i32::try_from(value.len()).unwrap_or(i32::MAX));
        this.0.extend(value);
        this
    }

    fn flag(mut self, value: bool) -> Self {
        self.0.push(value.into());
        self
    }

    /// The message behind its length.
    fn framed(self) -> Vec<u8> {
        Self::default().bytes(&self.0).0
    }
}

/// Begins a session that ends when nothing was heard of us for `timeout` milliseconds.
pub(super) fn connect(timeout: i32) -> Vec<u8> {
    Writer::default().int(0).long(0).int(timeout).long(0).bytes(&[0; 16]).flag(false).framed()
}

/// Says who we are: `user:password`.
pub(super) fn digest(pair: &str) -> Vec<u8> {
    const CODE: i32 = 100;
    Writer::default().int(AUTH).int(CODE).int(0).bytes(b"digest").bytes(pair.as_bytes()).framed()
}

/// Keeps the session alive.
pub(super) fn ping() -> Vec<u8> {
    const CODE: i32 = 11;
    Writer::default().int(PING).int(CODE).framed()
}

/// Asks for something about the node at `path`.
pub(super) fn request(number: i32, operation: Operation, path: &str, watch: bool) -> Vec<u8> {
    let head = Writer::default().int(number).int(operation.code()).bytes(path.as_bytes());
    match operation {
        Operation::Sync => head.framed(),
        Operation::Exists | Operation::GetData | Operation::GetChildren => head.flag(watch).framed(),
    }
}

/// What cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

impl From<Malformed> for String {
    fn from(_: Malformed) -> Self {
        "its answer is malformed: is this ZooKeeper?".to_owned()
    }
}

/// Takes encoded values off the front.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn int(&mut self) -> Result<i32, Malformed> {
        Ok(i32::from_be_bytes(self.take(4)?.try_into().map_err(|_| Malformed)?))
    }

    pub(super) fn long(&mut self) -> Result<i64, Malformed> {
        Ok(i64::from_be_bytes(self.take(8)?.try_into().map_err(|_| Malformed)?))
    }

    /// A length of -1 stands for nothing.
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        match self.int()? {
            -1 => Ok(&[]),
            length => self.take(usize::try_from(length).map_err(|_| Malformed)?),
        }
    }

    fn text(&mut self) -> Result<String, Malformed> {
        Ok(String::from_utf8_lossy(self.bytes()?).into_owned())
    }
}

/// How a session began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Connected {
    /// The session's timeout in milliseconds, as the server has it; 0: it was refused.
    pub(super) timeout: i32,
}

impl Connected {
    pub(super) fn read(message: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(message);
        let _version = reader.int()?;
        Ok(Self { timeout: reader.int()? })
    }
}

/// The head of what a server sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// The request's number, or [`EVENT`], [`PING`], [`AUTH`].
    pub(super) number: i32,
    /// The newest change that the server knew of.
    pub(super) zxid: i64,
    /// 0, or what went wrong.
    pub(super) error: i32,
}

impl Head {
    /// Reads it, and leaves what is behind it.
    pub(super) fn read<'a>(message: &'a [u8]) -> Result<(Self, Reader<'a>), Malformed> {
        let mut reader = Reader(message);
        let head = Self { number: reader.int()?, zxid: reader.long()?, error: reader.int()? };
        Ok((head, reader))
    }
}

/// A node's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) text: String,
    /// The change that made it.
    pub(super) created: i64,
    /// The session that it ends with; 0: none.
    pub(super) owner: i64,
}

impl Content {
    pub(super) fn read(mut reader: Reader<'_>) -> Result<Self, Malformed> {
        let text = reader.text()?;
        let created = reader.long()?;
        // mzxid, ctime, mtime; version, cversion, aversion.
        reader.take(3 * 8 + 3 * 4)?;
        Ok(Self { text, created, owner: reader.long()? })
    }
}

/// The names below a node.
pub(super) fn children(mut reader: Reader<'_>, most: usize) -> Result<Vec<String>, Malformed> {
    let count = usize::try_from(reader.int()?).map_err(|_| Malformed)?;
    (0..count.min(most)).map(|_| reader.text()).collect()
}

/// What an error of the server's means.
pub(super) fn in_words(error: i32) -> String {
    let words = match error {
        NO_NODE => "there is no such node",
        -102 => "this user may not read it (add store_user and store_password)",
        -112 => "the session has ended",
        -115 => "user and password were refused",
        _ => return format!("error {error}"),
    };
    words.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_framed() {
        let bytes = request(7, Operation::GetData, "/a", true);
        assert_eq!(bytes, [0, 0, 0, 15, 0, 0, 0, 7, 0, 0, 0, 4, 0, 0, 0, 2, b'/', b'a', 1]);
        assert_eq!(request(1, Operation::Sync, "/", true).len(), 4 + 4 + 4 + 4 + 1);
        assert_eq!(connect(6000).len(), 4 + 4 + 8 + 4 + 8 + 4 + 16 + 1);
        assert_eq!(ping(), [0, 0, 0, 8, 0xff, 0xff, 0xff, 0xfe, 0, 0, 0, 11]);
    }

    #[test]
    fn answers_cut_short_are_malformed() {
        let mut whole = Writer::default().int(3).long(99).int(0).bytes(b"n1").0;
        for number in [5_i64, 6, 7, 8] {
            whole.extend(number.to_be_bytes());
        }
        whole.extend([0; 12]);
        whole.extend(11_i64.to_be_bytes());
        let (head, rest) = Head::read(&whole).unwrap();
        assert_eq!(head, Head { number: 3, zxid: 99, error: 0 });
        let content = Content::read(rest).unwrap();
        assert_eq!(content, Content { text: "n1".to_owned(), created: 5, owner: 11 });
        for cut in 0..whole.len() {
            let read = Head::read(&whole[..cut]).and_then(|(_, rest)| Content::read(rest));
            assert_eq!(read, Err(Malformed), "{cut}");
        }
        let names = Writer::default().int(3).bytes(b"a").bytes(b"b").0;
        assert_eq!(children(Reader(&names), 2), Ok(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(children(Reader(&names), 9), Err(Malformed));
        let negative = Writer::default().int(-1).0;
        assert_eq!(children(Reader(&negative), 9), Err(Malformed));
        let absurd = Writer::default().int(i32::MAX).0;
        assert_eq!(Reader(&absurd).bytes(), Err(Malformed));
    }
}
