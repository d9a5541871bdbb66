//! Servers that do nothing but log clients in; what they say then is up to the script.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    pin::Pin,
    sync::Arc,
};

use parking_lot::Mutex;
use pgsteer::{
    net::{Address, Dial, Stream},
    wire::{
        message::{Authentication, encode_backend_key, encode_parameter_status, encode_ready_for_query},
        startup::{self, BackendKey, StartupPacket},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    sync::watch,
};

/// What a server reports at its login unless a script says otherwise.
const REPORTED: [(&str, &str); 8] = [
    ("server_version", "17.0"),
    ("client_encoding", "UTF8"),
    ("DateStyle", "ISO, MDY"),
    ("IntervalStyle", "postgres"),
    ("TimeZone", "UTC"),
    ("standard_conforming_strings", "on"),
    ("default_transaction_read_only", "off"),
    ("application_name", ""),
];

/// All servers there are, by the member they belong to and a count: `a1`, `a2`, `b1`.
pub(crate) struct Servers {
    state: Mutex<State>,
    /// Bytes that a connection holds before its sender must wait.
    capacity: usize,
    cancels_are_held: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    reported: Vec<(String, String)>,
    down: BTreeSet<String>,
    stuck: BTreeSet<String>,
    refusal: Option<Vec<u8>>,
    count: BTreeMap<String, u32>,
    ready: BTreeMap<String, DuplexStream>,
    names: Vec<String>,
    logins: BTreeMap<String, String>,
    cancels: Vec<String>,
}

impl Servers {
    pub(crate) fn new(capacity: usize) -> Arc<Self> {
        let reported = REPORTED.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let state = Mutex::new(State { reported: reported.collect(), ..State::default() });
        Arc::new(Self { state, capacity, cancels_are_held: watch::Sender::new(false) })
    }

    pub(crate) const fn capacity(&self) -> usize {
        self.capacity
    }

    /// What servers report from now on.
    pub(crate) fn report(&self, name: &str, value: &str) {
        let reported = &mut self.state.lock().reported;
        match reported.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = value.to_owned(),
            None => reported.push((name.to_owned(), value.to_owned())),
        }
    }

    pub(crate) fn reported(&self) -> Vec<(String, String)> {
        self.state.lock().reported.clone()
    }

    /// A member refuses connections, or takes them again.
    pub(crate) fn set_down(&self, member: &str, down: bool) {
        let set = &mut self.state.lock().down;
        let _changed = if down { set.insert(member.to_owned()) } else { set.remove(member) };
    }

    /// A member does not answer, or does again.
    pub(crate) fn set_stuck(&self, member: &str, stuck: bool) {
        let set = &mut self.state.lock().stuck;
        let _changed = if stuck { set.insert(member.to_owned()) } else { set.remove(member) };
    }

    /// Logins are answered with this error from now on.
    pub(crate) fn refuse(&self, error: Option<Vec<u8>>) {
        self.state.lock().refusal = error;
    }

    /// The connection of a server that has logged its client in.
    pub(crate) fn take(&self, name: &str) -> Option<DuplexStream> {
        self.state.lock().ready.remove(name)
    }

    /// Servers nobody has asked for so far.
    pub(crate) fn unclaimed(&self) -> Vec<String> {
        self.state.lock().ready.keys().cloned().collect()
    }

    /// The start-up parameters of a server's login.
    pub(crate) fn login(&self, name: &str) -> Option<String> {
        self.state.lock().logins.get(name).cloned()
    }

    /// The next cancel request that came, by the server it is for.
    pub(crate) fn take_cancel(&self) -> Option<String> {
        let cancels = &mut self.state.lock().cancels;
        (!cancels.is_empty()).then(|| cancels.remove(0))
    }

    /// Whether the connections of cancel requests are held open.
    pub(crate) fn hold_cancels(&self, held: bool) {
        self.cancels_are_held.send_replace(held);
    }

    async fn serve(self: Arc<Self>, member: String, mut stream: DuplexStream) -> io::Result<()> {
        let mut bytes = Vec::new();
        let packet = loop {
            if let Some((packet, _)) = startup::decode(&bytes).map_err(io::Error::other)? {
                break packet;
            }
            stream.read_buf(&mut bytes).await?;
        };
        match packet {
            StartupPacket::Cancel(key) => {
                let server = self.state.lock().names.get(key.pid as usize - 1).cloned();
                self.state.lock().cancels.push(server.unwrap_or_else(|| "nobody".to_owned()));
                let mut held = self.cancels_are_held.subscribe();
                held.wait_for(|held| !held).await.map_err(io::Error::other)?;
            }
            StartupPacket::Startup(startup) => {
                let refusal = self.state.lock().refusal.clone();
                if let Some(error) = refusal {
                    stream.write_all(&error).await?;
                    return Ok(());
                }
                let mut out = Vec::new();
                Authentication::Ok.encode(&mut out);
                for (name, value) in self.reported() {
                    encode_parameter_status(&mut out, name.as_bytes(), value.as_bytes());
                }
                let name = {
                    let mut state = self.state.lock();
                    let count = state.count.entry(member.clone()).or_default();
                    *count += 1;
                    let name = format!("{member}{count}");
                    state.names.push(name.clone());
                    let pid = u32::try_from(state.names.len()).unwrap();
                    encode_backend_key(&mut out, &BackendKey::new(pid, b"keys").unwrap());
                    let shown = startup.parameters().map(|(name, value)| {
                        format!("{}={}", String::from_utf8_lossy(name), String::from_utf8_lossy(value))
                    });
                    let shown = shown.collect::<Vec<_>>().join(" ");
                    state.logins.insert(name.clone(), shown);
                    name
                };
                encode_ready_for_query(&mut out, b'I');
                stream.write_all(&out).await?;
                self.state.lock().ready.insert(name, stream);
            }
            StartupPacket::SslRequest | StartupPacket::GssEncRequest => {}
        }
        Ok(())
    }
}

/// The way to the servers.
pub(crate) struct Dialer(pub(crate) Arc<Servers>);

impl Dial for Dialer {
    fn dial<'a>(
        &'a self,
        address: &'a Address,
    ) -> Pin<Box<dyn Future<Output = io::Result<Stream>> + Send + 'a>> {
        let Address::Tcp { host, .. } = address else { panic!("{address}") };
        let (down, stuck) = {
            let state = self.0.state.lock();
            (state.down.contains(&**host), state.stuck.contains(&**host))
        };
        let member = host.to_string();
        Box::pin(async move {
            if down {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            if stuck {
                std::future::pending::<()>().await;
            }
            let (ours, theirs) = tokio::io::duplex(self.0.capacity);
            let servers = self.0.clone();
            tokio::spawn(async move { servers.serve(member, theirs).await });
            Ok(Stream::Boxed(Box::new(ours)))
        })
    }
}
