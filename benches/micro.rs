//! What the pure parts of the hot path cost by themselves: framing, pipeline, statements, relay, lease.
//!
//! `cargo bench --bench micro` prints nanoseconds; `benches/micro-instructions.sh` counts instructions, which do not
//! depend on what else the machine is doing. Both take parts of names to pick benchmarks by.

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use pgsteer::clock::{Clock, Moment};
use pgsteer::net::Stream;
use pgsteer::pool::slots::{Action, Event, Return, SlotLimits, Slots};
use pgsteer::server::conn::ServerConn;
use pgsteer::session::backend::{Backend, ClientSide};
use pgsteer::session::frontend::{Frontend, Terms, UnnamedPolicy};
use pgsteer::session::reading::{Lexicon, Reading};
use pgsteer::session::readings::Readings;
use pgsteer::session::tenancy::Tenancy;
use pgsteer::sql::{Session, classify};
use pgsteer::wire::frame::{Header, put, put_cstr};
use pgsteer::wire::held::{Prepare, ServerStatements};
use pgsteer::wire::parameters::Parameters;
use pgsteer::wire::pipeline::{Block, Owed, Pipeline};
use pgsteer::wire::schema::Schema;
use pgsteer::wire::splice::Splice;
use pgsteer::wire::statements::{Catalog, Scope};

/// One operation, to be repeated so many times; what it returns is told apart from nothing by nobody, and keeps
/// the compiler from leaving the work out.
type Operation = fn(u64) -> u64;

/// Every benchmark: its name, what one operation is, and how to do that so many times.
const ALL: [(&str, &str, Operation); 20] = [
    ("frame/query", "one Query message of 60 bytes passed on", frame_query),
    ("frame/rows-110", "16 KiB of rows of 110 bytes passed on", |times| frame_rows(110, times)),
    ("frame/rows-1000", "16 KiB of rows of 1000 bytes passed on", |times| frame_rows(1000, times)),
    ("pipeline/simple", "a simple query of one row, both ways", pipeline_simple),
    ("pipeline/prepared", "Bind, Describe, Execute, Sync and their answers", pipeline_prepared),
    ("sql/select", "what pgbench's SELECT does, read from its text", sql_select),
    ("text/read-256", "a text of 256 bytes read", |times| text_read(256, times)),
    ("text/new-256", "a text of 256 bytes read that has not come before", |times| text_new(256, times)),
    ("text/again-256", "a text of 256 bytes that has come before", |times| text_again(256, times)),
    ("text/read-1024", "a text of 1024 bytes read", |times| text_read(1024, times)),
    ("text/new-1024", "a text of 1024 bytes read that has not come before", |times| text_new(1024, times)),
    ("text/again-1024", "a text of 1024 bytes that has come before", |times| text_again(1024, times)),
    ("statements/ready", "a statement the server has, of 200 it holds", statements_ready),
    ("relay/simple", "a simple query through both halves of a session", relay_simple),
    ("relay/prepared", "a prepared query through both halves of a session", relay_prepared),
    ("relay/unnamed", "a query without a name that the server has prepared", relay_unnamed),
    ("relay/literals", "a query without a name that never comes again", relay_literals),
    ("lease/idle-1", "a lease taken and given back, servers idle, 1 worker", |times| lease_idle(1, times)),
    ("lease/idle-2", "a lease taken and given back, servers idle, 2 workers", |times| lease_idle(2, times)),
    ("lease/waiting-48", "a lease given back and handed over, 48 clients waiting", lease_waiting),
];

/// `--repeat NAME TIMES` does one benchmark so many times and prints nothing: that is for callgrind. `--names` prints
/// the names. Cargo that benches (`--bench`) measures. To whoever tests, each benchmark is a test that does it a few times:
/// they are listed (`--list`) and named one by one (`--exact NAME`) as by Rust's own tests.
fn main() -> ExitCode {
    const TESTED: u64 = 10;
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--names"] => ALL.iter().for_each(|(name, ..)| println!("{name}")),
        ["--repeat", wanted, times] => {
            let operation = ALL.iter().find(|(name, ..)| *name == wanted).map(|(.., operation)| operation);
            let (Some(operation), Ok(times)) = (operation, times.parse()) else { return ExitCode::FAILURE };
            black_box(operation(times));
        }
        ref words if words.contains(&"--bench") => measure(words),
        ref words if words.contains(&"--ignored") => {}
        ref words if words.contains(&"--list") => ALL.iter().for_each(|(name, ..)| println!("{name}: test")),
        ref words => {
            let wanted = |name: &str| !words.contains(&"--exact") || words.contains(&name);
            for (.., operation) in ALL.iter().filter(|(name, ..)| wanted(name)) {
                black_box(operation(TESTED));
            }
        }
    }
    ExitCode::SUCCESS
}

/// Measures the benchmarks whose name holds one of the words; all of them without any.
fn measure(words: &[&str]) {
    let wanted: Vec<&&str> = words.iter().filter(|word| !word.starts_with("--")).collect();
    for (name, what, operation) in ALL {
        if wanted.is_empty() || wanted.iter().any(|part| name.contains(**part)) {
            println!("{name:<18} {:>8.1} ns  {what}", nanoseconds(operation));
        }
    }
}

/// The least of several batches: whatever else happens on the machine only ever adds.
fn nanoseconds(operation: Operation) -> f64 {
    const BATCHES: u32 = 25;
    const BATCH: Duration = Duration::from_millis(10);
    let clock = Clock::boot();
    let took = |times: u64| {
        let before = clock.now();
        black_box(operation(times));
        clock.now().since(before)
    };
    let mut times = 1;
    while took(times) < BATCH {
        times *= 2;
    }
    let least = (0..BATCHES).map(|_| took(times)).min().unwrap_or(BATCH);
    least.as_secs_f64() * 1e9 / f64::from(u32::try_from(times).unwrap_or(u32::MAX))
}

/// A query as programs generate them, of so many bytes; its last four are digits.
fn long_text(bytes: usize) -> Vec<u8> {
    const END: &str = " FROM customers t0_ WHERE t0_.id = 1000";
    let mut text = String::from("SELECT t0_.id AS id_0");
    for number in 1.. {
        let column = format!(", t0_.customer_name AS customer_name_{number}");
        if text.len() + column.len() + END.len() > bytes {
            break;
        }
        text += &column;
    }
    let blanks = bytes - text.len() - END.len();
    (text + &" ".repeat(blanks) + END).into_bytes()
}

fn text_read(bytes: usize, times: u64) -> u64 {
    let text = long_text(bytes);
    let unlocks = |_: &u64| Reading::of(black_box(&text), Lexicon::Standard).unlocks_writes;
    (0..times).filter(unlocks).count() as u64
}

fn text_new(bytes: usize, times: u64) -> u64 {
    let (readings, mut text) = (Readings::default(), long_text(bytes));
    let unlocks = |number: &u64| {
        let digits = text.len() - 4;
        text[digits..].copy_from_slice(&[1, 10, 100, 1000].map(|place| b'0' + (number / place % 10) as u8));
        readings.read(black_box(&text), Lexicon::Standard).unlocks_writes
    };
    (0..times).filter(unlocks).count() as u64
}

fn text_again(bytes: usize, times: u64) -> u64 {
    let (readings, text) = (Readings::default(), long_text(bytes));
    let unlocks = |_: &u64| readings.read(black_box(&text), Lexicon::Standard).unlocks_writes;
    (0..times).filter(unlocks).count() as u64
}

/// What a relay does at the least with a slice: read each header, pass each message, take what goes out.
fn pass_all(input: &[u8], scratch: &mut Vec<u8>) -> usize {
    let mut splice = Splice::new(black_box(input), scratch);
    while let Ok(Some(header)) = Header::read(splice.rest()) {
        let here = header.total.min(splice.rest().len());
        splice.pass(here);
    }
    splice.finish().len()
}

fn frame_query(times: u64) -> u64 {
    let (mut input, mut scratch) = (Vec::new(), Vec::new());
    put(&mut input, b'Q', |out| out.extend_from_slice(&[b'x'; 55]));
    (0..times).map(|_| pass_all(&input, &mut scratch) as u64).sum()
}

fn frame_rows(bytes: usize, times: u64) -> u64 {
    let (mut input, mut scratch) = (Vec::new(), Vec::new());
    while input.len() < 16 << 10 {
        put(&mut input, b'D', |out| out.resize(out.len() + bytes - 5, 0));
    }
    (0..times).map(|_| pass_all(&input, &mut scratch) as u64).sum()
}

fn pipeline_simple(times: u64) -> u64 {
    let mut pipeline = Pipeline::default();
    exchange(&mut pipeline, times, |pipeline| pipeline.sent(Owed::Query(Block::default())), b"TDCZ")
}

fn pipeline_prepared(times: u64) -> u64 {
    let mut pipeline = Pipeline::default();
    let send = |pipeline: &mut Pipeline| {
        pipeline.sent(Owed::Bind(0));
        pipeline.sent(Owed::Describe(0));
        pipeline.sent(Owed::Execute(Block::default()));
        pipeline.sent(Owed::Sync);
    };
    exchange(&mut pipeline, times, send, b"2TDCZ")
}

fn exchange(pipeline: &mut Pipeline, times: u64, send: impl Fn(&mut Pipeline), answers: &[u8]) -> u64 {
    let mut released = 0;
    for _ in 0..times {
        send(black_box(pipeline));
        for tag in black_box(answers) {
            let status = (*tag == b'Z').then_some(b'I');
            black_box(pipeline.received(*tag, status, &mut |_| {})).ok();
        }
        released += u64::from(pipeline.may_release());
    }
    assert_eq!(released, times, "every exchange ends with the server free");
    released
}

fn sql_select(times: u64) -> u64 {
    let text = b"SELECT abalance FROM pgbench_accounts WHERE aid = 123456;";
    let leaves_nothing = |_: &u64| classify(black_box(text), true).session() == Session::Clean;
    (0..times).filter(leaves_nothing).count() as u64
}

fn statements_ready(times: u64) -> u64 {
    let mut statements = ServerStatements::default();
    for id in 0..200 {
        statements.use_statement(id, 1, 200);
    }
    let ready = |turn: &u64| statements.use_statement(black_box(turn % 200), 1, 200) == Prepare::Ready;
    (0..times).filter(ready).count() as u64
}

/// ParseComplete, BindComplete and ReadyForQuery.
const PARSED: &[u8] = b"1\0\0\0\x04";
const BOUND: &[u8] = b"2\0\0\0\x04";
const READY: &[u8] = b"Z\0\0\0\x05I";

/// What pgbench's select-only query yields.
fn put_result(out: &mut Vec<u8>) {
    put(out, b'T', |out| {
        out.extend_from_slice(b"\0\x01abalance\0");
        out.extend_from_slice(&[0; 18]);
    });
}

/// Its one parameter.
fn put_parameter(out: &mut Vec<u8>) {
    put(out, b't', |out| out.extend_from_slice(b"\0\x01\0\0\0\x17"));
}

/// What Describe of the statement is answered with: its one parameter, and what it yields.
fn described() -> Vec<u8> {
    let mut out = Vec::new();
    put_parameter(&mut out);
    put_result(&mut out);
    out
}

/// What pgbench's select-only query is answered with, after what comes before its RowDescription.
fn answer(before: &[u8]) -> Vec<u8> {
    let mut out = before.to_vec();
    put_result(&mut out);
    put(&mut out, b'D', |out| out.extend_from_slice(b"\0\x01\0\0\0\x010"));
    put(&mut out, b'C', |out| out.extend_from_slice(b"SELECT 1\0"));
    out.extend_from_slice(READY);
    out
}

/// Both halves of one client's session, on one server, without sockets.
struct Relay {
    frontend: Frontend,
    backend: Backend,
    conn: ServerConn,
    pipeline: Pipeline,
    tenancy: Tenancy,
    parameters: Arc<Parameters>,
    catalog: Catalog,
    readings: Readings,
    scope: Scope,
    schema: Arc<Schema>,
    out: Vec<u8>,
}

impl Relay {
    fn new() -> Self {
        let (server, _) = tokio::io::duplex(64);
        let parameters: Arc<Parameters> = Arc::default();
        Self {
            frontend: Frontend::default(),
            backend: Backend::default(),
            conn: ServerConn::new(Stream::Boxed(Box::new(server)), parameters.clone(), Moment::ZERO),
            pipeline: Pipeline::default(),
            tenancy: Tenancy::default(),
            parameters,
            catalog: Catalog::default(),
            readings: Readings::default(),
            scope: "bench".into(),
            schema: Arc::default(),
            out: Vec::new(),
        }
    }

    /// One request and its answer; whether both passed and the server is free afterwards.
    fn exchange(&mut self, request: &[u8], answer: &[u8]) -> bool {
        let Self {
            frontend,
            backend,
            conn,
            pipeline,
            tenancy,
            parameters,
            catalog,
            readings,
            scope,
            schema,
            out,
        } = self;
        let terms = Terms {
            client: 1,
            catalog,
            scope,
            lexicon: Lexicon::Standard,
            readings,
            max_prepared_statements: 200,
            unnamed: UnnamedPolicy::Map,
            schema,
            now: Moment::ZERO,
            read_only: false,
            state: &pgsteer::wire::state::Carried::NOTHING,
            opaque: None,
            vigilance: pgsteer::session::frontend::Vigilance::Suspects,
            sequences: pgsteer::session::frontend::Sequences::Own,
            sequences_are_read: &std::sync::atomic::AtomicBool::new(false),
            temp_buffers_are_set: &std::sync::atomic::AtomicBool::new(false),
            told: None,
        };
        let sent = frontend.forward(black_box(request), out, conn, pipeline, tenancy, &terms);
        let sent = sent.is_ok_and(|sent| sent.taken == request.len() && !sent.bytes.is_empty());
        let (reset_values, mut state) = (parameters.clone(), pgsteer::wire::state::Carried::NOTHING);
        let mut client = ClientSide {
            frontend,
            parameters,
            reset_values: &reset_values,
            state: &mut state,
            tenancy,
            mode: pgsteer::pool::account::PoolMode::Transaction,
            heard: None,
            client_of: &|_| None,
            catalog,
        };
        let passed = backend.forward(black_box(answer), out, conn, pipeline, &mut client);
        let passed = passed.is_ok_and(|passed| passed.taken == answer.len() && !passed.bytes.is_empty());
        sent && passed && pipeline.may_release()
    }

    fn repeat(&mut self, times: u64, request: &[u8], answer: &[u8]) -> u64 {
        let free = (0..times).filter(|_| self.exchange(request, answer)).count() as u64;
        assert_eq!(free, times, "every exchange passes and ends with the server free");
        free
    }
}

fn relay_simple(times: u64) -> u64 {
    let mut request = Vec::new();
    put(&mut request, b'Q', |out| {
        put_cstr(out, b"SELECT abalance FROM pgbench_accounts WHERE aid = 123456;")
    });
    Relay::new().repeat(times, &request, &answer(b""))
}

fn relay_prepared(times: u64) -> u64 {
    let (mut parse, mut request) = (Vec::new(), Vec::new());
    put(&mut parse, b'P', |out| {
        put_cstr(out, b"P0_1");
        put_cstr(out, b"SELECT abalance FROM pgbench_accounts WHERE aid = $1;");
        out.extend_from_slice(&[0; 2]);
    });
    put(&mut parse, b'S', |_| {});
    // As libpq does: the unnamed portal, one parameter as text, described and run.
    put(&mut request, b'B', |out| out.extend_from_slice(b"\0P0_1\0\0\0\0\x01\0\0\0\x06123456\0\x01\0\0"));
    put(&mut request, b'D', |out| out.extend_from_slice(b"P\0"));
    put(&mut request, b'E', |out| out.extend_from_slice(&[0; 5]));
    put(&mut request, b'S', |_| {});
    let mut relay = Relay::new();
    assert!(relay.exchange(&parse, &[PARSED, &described(), READY].concat()));
    relay.repeat(times, &request, &answer(BOUND))
}

/// A query as most drivers send it: parsed, described, bound and run at once.
fn unnamed(text: &[u8]) -> Vec<u8> {
    let mut request = Vec::new();
    put(&mut request, b'P', |out| {
        out.push(0);
        put_cstr(out, text);
        out.extend_from_slice(&[0; 2]);
    });
    put(&mut request, b'B', |out| out.extend_from_slice(b"\0\0\0\0\0\x01\0\0\0\x06123456\0\x01\0\0"));
    put(&mut request, b'D', |out| out.extend_from_slice(b"P\0"));
    put(&mut request, b'E', |out| out.extend_from_slice(&[0; 5]));
    put(&mut request, b'S', |_| {});
    request
}

fn relay_unnamed(times: u64) -> u64 {
    let request = unnamed(b"SELECT abalance FROM pgbench_accounts WHERE aid = $1;");
    let mut relay = Relay::new();
    // Of what type the parameter is the server has to infer, which the description of the portal does not tell: it is asked.
    let mut before = [PARSED, BOUND].concat();
    put_result(&mut before);
    put_parameter(&mut before);
    let first = answer(&before);
    // The second time it is given to the server under a name of ours, and what it yields is asked.
    let second = answer(&[PARSED, &described(), BOUND].concat());
    assert!(relay.exchange(&request, &first) && relay.exchange(&request, &second));
    relay.repeat(times, &request, &answer(BOUND))
}

fn relay_literals(times: u64) -> u64 {
    let mut request = unnamed(b"SELECT abalance FROM pgbench_accounts WHERE aid = 10000000;");
    let answer = answer(&[PARSED, BOUND].concat());
    let mut relay = Relay::new();
    let digits = request.windows(8).position(|window| window == b"10000000").unwrap_or_default();
    (0..times)
        .filter(|turn| {
            for (place, byte) in request[digits..digits + 8].iter_mut().enumerate() {
                *byte = b'0' + u8::try_from((turn >> (place * 3)) & 7).unwrap_or_default();
            }
            relay.exchange(&request, &answer)
        })
        .count() as u64
}

/// A pool of sixteen servers, all of them open and idle.
fn pool(workers: usize) -> Slots {
    const SIZE: usize = 16;
    let limits = SlotLimits {
        size: SIZE,
        min_size: SIZE,
        reserve_size: 0,
        reserve_after: Duration::from_secs(5),
        lifetime: Some(Duration::from_secs(3600)),
        idle_timeout: Some(Duration::from_secs(600)),
        opening_max: SIZE,
        handover_slack: Duration::from_millis(1),
        overtakes_max: 4,
        reuse: pgsteer::pool::slots::Reuse::LastUsed,
    };
    let mut slots = Slots::new(limits, workers);
    for action in slots.handle(Moment::ZERO, Event::Tick) {
        if let Action::Open { server, .. } = action {
            slots.handle(Moment::ZERO, Event::Opened(server));
        }
    }
    assert_eq!(slots.gauges().idle, SIZE);
    slots
}

fn lease_idle(workers: usize, times: u64) -> u64 {
    let mut slots = pool(workers);
    let mut leased = 0;
    for turn in 0..times {
        let now = Moment::from_nanos(turn * 1000);
        let worker = usize::from(turn % 2 == 1) % workers;
        let acquire = Event::Acquire { ticket: 1, worker, flavour: 0 };
        if let [Action::Lease(_, server)] = slots.handle(now, black_box(acquire))[..] {
            slots.handle(now, black_box(Event::Returned(server, Return::Clean)));
            leased += 1;
        }
    }
    assert_eq!(leased, times, "an idle server is leased at once");
    leased
}

/// Sixty-four clients on sixteen servers: whoever is handed a server gives it back and queues up again.
fn lease_waiting(times: u64) -> u64 {
    let mut slots = pool(1);
    let mut held = Vec::new();
    for ticket in 0..64 {
        let acquire = Event::Acquire { ticket, worker: 0, flavour: 0 };
        if let [Action::Lease(ticket, server)] = slots.handle(Moment::ZERO, acquire)[..] {
            held.push((ticket, server));
        }
    }
    let mut handed = 0;
    for turn in 0..times {
        let now = Moment::from_nanos(turn * 1000);
        let place = usize::try_from(turn).unwrap_or(0) % held.len();
        let (ticket, server) = held[place];
        let returned = slots.handle(now, black_box(Event::Returned(server, Return::Clean)));
        if let [Action::Lease(next, server)] = returned[..] {
            held[place] = (next, server);
            handed += 1;
        }
        slots.handle(now, black_box(Event::Acquire { ticket, worker: 0, flavour: 0 }));
    }
    assert_eq!(handed, times, "a server given back goes to the next in line");
    handed
}
