//! What is sent.

use std::fmt;

/// Every step ends with so many portals closed that are not there, which works in every state of a transaction.
pub(super) const MARKS: usize = 8;

/// Numbers that only depend on the seed (splitmix64).
pub(super) struct Dice(u64);

impl Dice {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than `limit`.
    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.throw() % limit as u64).unwrap_or(0)
    }

    pub(super) fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

/// Statements; `T` is the client's own table.
const STATEMENTS: [&str; 77] = [
    "",
    "select 1",
    "select 1 as a, 'x' as b",
    "select $1::int + 1",
    "select $1::text, $2::int",
    "select $1::timestamptz::text",
    "select 1/0",
    "select 1/$1::int",
    "select '2024-01-02 03:04:05+00'::timestamptz::text",
    "select ('2003-02-01'::date)::text",
    "select '1 day 2 hours'::interval::text",
    "select $1::date::text",
    "select generate_series(1, 5)",
    "select g, repeat('y', g) from generate_series(1, 30) g",
    "select repeat('x', 70000)",
    "select count(*) from T",
    "select n from T order by n",
    "select * from T order by n",
    "select 1 from T where n = $1",
    "select n from T where n < $1",
    "table T",
    "insert into T (n) values ($1::int)",
    "insert into T (n) values ($1)",
    "insert into T (n) values (5) returning n",
    "update T set n = n + 1 where n < $1",
    "delete from T",
    "delete from T where n = $1 returning *",
    "values (1), (2)",
    "with a as (insert into T (n) values (7) returning n) select * from a",
    "select * from nosuch",
    "select nosuch from T",
    "syntax err",
    "select $1",
    "select $1 + $2",
    "select 'a;b'; ",
    "select 1; select 2",
    "select 3; select 1/0; select 4",
    "begin; insert into T (n) values (8); commit; select n from T order by n",
    "insert into T (n) values (9); select 1/0",
    "begin",
    "begin read write",
    "start transaction read only",
    "begin isolation level repeatable read",
    "begin isolation level serializable, read only",
    "set transaction isolation level serializable",
    "set transaction read only",
    "set session characteristics as transaction isolation level repeatable read",
    "set session characteristics as transaction isolation level read committed",
    "show transaction_isolation",
    "commit",
    "rollback",
    "commit and chain",
    "savepoint a",
    "rollback to a",
    "release a",
    "set timezone = 'Asia/Tokyo'",
    "set timezone = 'UTC'",
    "set local timezone = 'Europe/Paris'",
    "reset timezone",
    "set datestyle = 'SQL, DMY'",
    "reset datestyle",
    "set intervalstyle = 'iso_8601'",
    "reset intervalstyle",
    "show timezone",
    "set work_mem = '5MB'",
    "set local work_mem = '6MB'",
    "reset work_mem",
    "show work_mem",
    "reset all",
    "set search_path = pg_catalog",
    "reset search_path",
    "copy (select generate_series(1, 3)) to stdout",
    "copy T (n) from stdin",
    "do $$begin null; end$$",
    "deallocate all",
    "declare c cursor for select generate_series(1, 9)",
    "fetch 2 from c",
];

/// Statements prepared by SQL.
const PREPARED: [&str; 11] = [
    "prepare r as select n from T where n = $1",
    "prepare r as select 1",
    "prepare q as select * from T order by n",
    "prepare q as select n from T where n < $1 order by n",
    "prepare q as insert into T (n) values ($1) returning *",
    "prepare q (int) as select $1 + 1",
    "execute q",
    "execute q(3)",
    "execute q(3)",
    "create temp table nobody on commit drop as execute q",
    "deallocate q",
];

/// Changes of the schema, which are rarer.
const CHANGES: [&str; 9] = [
    "alter table T add column if not exists m int default 3",
    "alter table T drop column if exists m",
    "alter table T rename column m to k",
    "alter table T alter column n type bigint",
    "alter table T alter column n type int",
    "create index on T (n)",
    "drop table if exists T",
    "create table if not exists T (n int)",
    "analyze T",
];

/// Whether PostgreSQL describes a text as it was when it was parsed, though it is something else by now. Another server cannot.
fn is_of_its_server(text: &str) -> bool {
    text.starts_with("execute")
}

const NAMES: [&str; 6] = ["", "", "", "s1", "s2", "s3"];
/// Those that SQL may have given when something is prepared by messages.
const CONTESTED: &str = "r";
/// Those under which something is used by messages.
const USED: [&str; 8] = ["", "", "", "s1", "s2", "s3", "q", CONTESTED];
const PORTALS: [&str; 4] = ["", "", "", "p1"];

/// Messages that are sent together, and what they are in words.
#[derive(Default)]
pub(super) struct Step {
    messages: Vec<(String, Vec<u8>)>,
    table: String,
    life: Life,
}

/// What a client does all its life. One that has prepared statements by SQL and changes settings keeps its server, and what
/// is refused there is not tried again.
#[derive(Clone, Copy, Default, PartialEq)]
pub(super) enum Life {
    /// It changes settings.
    #[default]
    Setting,
    /// It prepares statements by SQL.
    Preparing,
}

impl Life {
    /// Every other one.
    pub(super) const fn of(seed: u64) -> Self {
        if seed.is_multiple_of(2) { Self::Setting } else { Self::Preparing }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.messages.iter().try_for_each(|(words, _)| writeln!(f, "    {words}"))
    }
}

impl Step {
    /// Whether a statement is described in it before something is run.
    pub(super) fn describes_before_running(&self) -> bool {
        let mut words = self.messages.iter().map(|(words, _)| words);
        words.any(|words| words.starts_with("Describe S "))
            && words.any(|words| words.starts_with("Query ") || words.starts_with("Execute "))
    }

    fn of(client: u64) -> Self {
        Self { table: format!("t{client}"), ..Self::default() }
    }

    /// The client's table, empty.
    pub(super) fn set_up(client: u64) -> Self {
        let mut step = Self::of(client);
        step.query("drop table if exists T");
        step.query("create table T (n int)");
        step.end();
        step
    }

    /// A single query by the simple protocol.
    pub(super) fn simple(text: &str) -> Self {
        let mut step = Self::default();
        step.say(b'Q', format!("Query {text:?}"), &[text.as_bytes(), b"\0"].concat());
        step
    }

    /// A single query without parameters, as most drivers send it.
    pub(super) fn unnamed(text: &str) -> Self {
        let mut step = Self::default();
        step.say(b'P', format!("Parse {text:?}"), &[b"\0", text.as_bytes(), &[0; 3]].concat());
        step.say(b'B', "Bind".to_owned(), &[0; 8]);
        step.of_kind(b'D', 'P', "");
        step.execute("", 0);
        step.say(b'S', "Sync".to_owned(), b"");
        step
    }

    /// The same without its end, and a query behind it.
    pub(super) fn unnamed_before_query(text: &str) -> Self {
        let mut step = Self::unnamed(text);
        step.messages.pop();
        step.query("select 1");
        step.say(b'S', "Sync".to_owned(), b"");
        step.end();
        step
    }

    /// What comes into the dice's head.
    pub(super) fn random(dice: &mut Dice, client: u64, life: Life) -> Self {
        let mut step = Self { life, ..Self::of(client) };
        for _ in 0..=dice.below(4) {
            if dice.percent(30) {
                step.random_query(dice);
            } else if dice.percent(50) {
                step.as_drivers_do(dice);
            } else {
                step.random_sequence(dice);
            }
        }
        step.end();
        step
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        self.messages.iter().flat_map(|(_, bytes)| bytes).copied().collect()
    }

    /// The same bytes, in as many writes as the dice want.
    pub(super) fn pieces(&self, dice: &mut Dice) -> Vec<&[u8]> {
        let size = dice.one_of(&[1, 2, 5, 20, 100, usize::MAX, usize::MAX]);
        self.messages.iter().flat_map(|(_, bytes)| bytes.chunks(size)).collect()
    }

    fn say(&mut self, tag: u8, words: String, body: &[u8]) {
        let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
        self.messages.push((words, [&[tag][..], &length.to_be_bytes(), body].concat()));
    }

    fn text(&self, dice: &mut Dice) -> String {
        let text = match (dice.below(100), self.life) {
            (0..4, _) => dice.one_of(&CHANGES),
            (4..20, Life::Preparing) => dice.one_of(&PREPARED),
            _ => dice.one_of(&STATEMENTS),
        };
        let sets = text.starts_with("set ") || text.starts_with("reset ");
        self.of_table(if sets && self.life == Life::Preparing { "select 1" } else { text })
    }

    fn of_table(&self, text: &str) -> String {
        let words = text.split(' ').map(|word| match word.strip_prefix('T') {
            Some(rest) if rest.is_empty() || rest == ";" => format!("{}{rest}", self.table),
            _ => word.to_owned(),
        });
        words.collect::<Vec<_>>().join(" ")
    }

    /// What somebody else does to the client's table.
    pub(super) fn change(dice: &mut Dice, client: u64) -> Self {
        let mut step = Self::of(client);
        step.query(dice.one_of(&CHANGES));
        step.end();
        step
    }

    fn query(&mut self, text: &str) {
        let text = self.of_table(text);
        self.say(b'Q', format!("Query {text:?}"), &[text.as_bytes(), b"\0"].concat());
    }

    fn random_query(&mut self, dice: &mut Dice) {
        let text = self.text(dice);
        self.query_with_data(dice, &text);
    }

    fn query_with_data(&mut self, dice: &mut Dice, text: &str) {
        let text = text.replace("$1", "3").replace("$2", "4");
        self.say(b'Q', format!("Query {text:?}"), &[text.as_bytes(), b"\0"].concat());
        self.damage(dice);
        if text.contains("from stdin") {
            self.copy_data(dice);
        }
    }

    /// Now and then the last message is not laid out as its type says: it ends too early, or has something behind it.
    fn damage(&mut self, dice: &mut Dice) {
        const DAMAGED_PERCENT: usize = 3;
        if !dice.percent(DAMAGED_PERCENT) {
            return;
        }
        let Some((words, message)) = self.messages.last_mut() else { return };
        if dice.percent(30) {
            message.push(b'x');
        } else {
            let body = message.len() - 5;
            message.truncate(5 + body.saturating_sub(1 + dice.below(6)));
        }
        let length = u32::try_from(message.len() - 1).unwrap_or(u32::MAX);
        message[1..5].copy_from_slice(&length.to_be_bytes());
        words.push_str(&format!(", of {} bytes", message.len()));
    }

    /// What follows a COPY that takes data; with libpq, a Sync comes first.
    fn copy_data(&mut self, dice: &mut Dice) {
        if dice.percent(20) {
            self.say(b'S', "Sync".to_owned(), b"");
        }
        for _ in 0..dice.below(4) {
            let row = if dice.percent(90) { format!("{}\n", dice.below(100)) } else { "bad\n".to_owned() };
            self.say(b'd', format!("CopyData {row:?}"), row.as_bytes());
        }
        if dice.percent(70) {
            self.say(b'c', "CopyDone".to_owned(), b"");
        } else {
            self.say(b'f', "CopyFail".to_owned(), b"why\0");
        }
        self.damage(dice);
    }

    fn parse(&mut self, dice: &mut Dice, name: &str, text: &str) {
        let types: &[u32] =
            if dice.percent(70) { &[] } else { dice.one_of(&[&[23][..], &[25], &[0], &[23, 25]]) };
        let mut body = [name.as_bytes(), b"\0", text.as_bytes(), b"\0"].concat();
        body.extend_from_slice(&u16::try_from(types.len()).unwrap_or(0).to_be_bytes());
        types.iter().for_each(|oid| body.extend_from_slice(&oid.to_be_bytes()));
        self.say(b'P', format!("Parse {name:?} {text:?} {types:?}"), &body);
    }

    fn bind(&mut self, dice: &mut Dice, portal: &str, name: &str, values: usize) {
        let binary = dice.percent(20);
        let mut body = [portal.as_bytes(), b"\0", name.as_bytes(), b"\0\0\0"].concat();
        body.extend_from_slice(&u16::try_from(values).unwrap_or(0).to_be_bytes());
        let mut shown = Vec::new();
        for _ in 0..values {
            let value = dice.one_of(&["1", "3", "7", "x", "1/2/2003", ""]);
            if value.is_empty() {
                body.extend_from_slice(&u32::MAX.to_be_bytes());
            } else {
                body.extend_from_slice(&u32::try_from(value.len()).unwrap_or(0).to_be_bytes());
                body.extend_from_slice(value.as_bytes());
            }
            shown.push(value);
        }
        body.extend_from_slice(if binary { &[0, 1, 0, 1] } else { &[0, 0] });
        self.say(b'B', format!("Bind {portal:?} {name:?} {shown:?} binary={binary}"), &body);
    }

    fn execute(&mut self, portal: &str, rows: u32) {
        let body = [portal.as_bytes(), b"\0", &rows.to_be_bytes()].concat();
        self.say(b'E', format!("Execute {portal:?} {rows}"), &body);
    }

    fn of_kind(&mut self, tag: u8, kind: char, name: &str) {
        let word = if tag == b'D' { "Describe" } else { "Close" };
        self.say(tag, format!("{word} {kind} {name:?}"), format!("{kind}{name}\0").as_bytes());
    }

    /// A statement as most drivers send one.
    fn as_drivers_do(&mut self, dice: &mut Dice) {
        let text = self.text(dice);
        if is_of_its_server(&text) {
            return self.query(&text);
        }
        // Under a name that is run nowhere else: whatever else comes in a COPY ends the connection.
        let name = if text.contains("from stdin") { "copy" } else { dice.one_of(&NAMES) };
        if !name.is_empty() {
            self.of_kind(b'C', 'S', name);
        }
        self.parse(dice, name, &text);
        if dice.percent(30) {
            self.of_kind(b'D', 'S', name);
            if dice.percent(50) {
                self.say(b'S', "Sync".to_owned(), b"");
            }
        }
        let values = usize::from(text.contains("$1")) + usize::from(text.contains("$2"));
        self.bind(dice, "", name, values);
        self.of_kind(b'D', 'P', "");
        let rows = dice.one_of(&[0, 0, 0, 1, 2]);
        self.execute("", rows);
        if text.contains("from stdin") {
            self.copy_data(dice);
        } else if rows > 0 {
            self.execute("", dice.one_of(&[0, 3]));
        }
        self.say(b'S', "Sync".to_owned(), b"");
    }

    /// Messages in any order. Only portals of the same sequence are run again: PostgreSQL 15 crashes over one that an earlier
    /// sequence has left behind in a failed transaction.
    fn random_sequence(&mut self, dice: &mut Dice) {
        let mut bound = Vec::new();
        for _ in 0..=dice.below(8) {
            let (name, portal) = (dice.one_of(&USED), dice.one_of(&PORTALS));
            match dice.below(100) {
                0..25 => {
                    let text = self.text(dice);
                    let unfit = text.contains("from stdin") || is_of_its_server(&text);
                    let text = if unfit { "select 7" } else { &text };
                    let name = dice.one_of(&NAMES);
                    self.parse(dice, name, text);
                }
                25..30 => {
                    let text = dice.one_of(&["select 7", "select $1::int", "syntax err", "rollback"]);
                    self.parse(dice, CONTESTED, text);
                }
                30..55 => {
                    let values = dice.one_of(&[0, 0, 1, 1, 2]);
                    self.bind(dice, portal, name, values);
                    bound.push(portal);
                    if dice.percent(80) {
                        self.execute(portal, dice.one_of(&[0, 0, 2]));
                    }
                }
                55..65 if dice.percent(50) => self.of_kind(b'D', 'S', name),
                55..65 => self.of_kind(b'D', 'P', portal),
                65..75 if bound.contains(&portal) => self.execute(portal, dice.one_of(&[0, 1])),
                65..75 => self.of_kind(b'D', 'S', name),
                75..80 if name != CONTESTED => self.of_kind(b'C', 'S', name),
                80..85 => self.of_kind(b'C', 'P', portal),
                85..90 => self.say(b'H', "Flush".to_owned(), b""),
                90..93 => {
                    let text = self.text(dice);
                    self.query_with_data(dice, &text);
                }
                _ => {
                    self.say(b'S', "Sync".to_owned(), b"");
                    bound.clear();
                }
            }
            self.damage(dice);
        }
        if dice.percent(20) {
            self.say(b'c', "CopyDone".to_owned(), b"");
        }
        self.say(b'S', "Sync".to_owned(), b"");
    }

    /// Ends whatever may be open but a transaction, and says where the step ends.
    fn end(&mut self) {
        self.say(b'c', "CopyDone".to_owned(), b"");
        self.say(b'S', "Sync".to_owned(), b"");
        (0..MARKS).for_each(|_| self.of_kind(b'C', 'P', "mark"));
        self.say(b'S', "Sync".to_owned(), b"");
    }
}
