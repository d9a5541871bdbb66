//! One connection, with what the server said beside the answers.

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, anyhow};
use tokio::task::JoinHandle;
use tokio_postgres::error::{DbError, Severity};
use tokio_postgres::{AsyncMessage, Config, NoTls, Notification};

use crate::{Login, Result};

/// How to reach `address` as somebody, with every wait bounded.
pub fn connection_string(address: SocketAddr, login: Login, database: &str) -> Config {
    let mut config = Config::new();
    config.host(address.ip().to_string()).port(address.port());
    config.user(login.user).password(login.password).dbname(database).connect_timeout(Duration::from_secs(2));
    config
}

/// The SQLSTATE of an error, or `closed` where the connection ended without one.
pub fn sqlstate(error: &tokio_postgres::Error) -> String {
    error.code().map_or_else(|| "closed".to_owned(), |code| code.code().to_owned())
}

/// An error with its SQLSTATE and the server's words, which its own `Display` leaves out.
pub fn cause(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(
        || error.to_string(),
        |said| format!("{} {}: {}", said.severity(), said.code().code(), said.message()),
    )
}

/// A `tokio_postgres::Client` that drives its own connection and keeps the notices.
#[derive(Debug)]
pub struct Client {
    client: tokio_postgres::Client,
    notices: Arc<Mutex<Vec<String>>>,
    notifications: Arc<Mutex<Vec<Notification>>>,
    farewell: Arc<Mutex<Option<(String, String)>>>,
    driving: JoinHandle<()>,
    session: Option<String>,
}

impl Client {
    /// Connects, within a minute.
    ///
    /// # Errors
    /// Refused, or too slow.
    pub async fn connect(config: &Config) -> Result<Self> {
        Self::try_connect(config, Duration::from_secs(60))
            .await
            .map_err(|state| anyhow!("connecting: {state}"))
    }

    /// Connects within a time; the error is a SQLSTATE, `refused` or `timeout`.
    ///
    /// # Errors
    /// As said.
    pub async fn try_connect(config: &Config, within: Duration) -> std::result::Result<Self, String> {
        let connecting = tokio::time::timeout(within, config.connect(NoTls)).await;
        let (client, mut connection) = match connecting {
            Ok(Ok(connected)) => connected,
            Ok(Err(error)) => {
                return Err(error.code().map_or("refused", |code| code.code()).to_owned());
            }
            Err(_) => return Err("timeout".to_owned()),
        };
        let session = connection.parameter("pgsteer.session").map(str::to_owned);
        let notices = Arc::new(Mutex::new(Vec::new()));
        let farewell = Arc::new(Mutex::new(None));
        let notifications = Arc::new(Mutex::new(Vec::new()));
        let (heard, last) = (Arc::clone(&notices), Arc::clone(&farewell));
        let notified = Arc::clone(&notifications);
        let driving = tokio::spawn(async move {
            loop {
                match std::future::poll_fn(|cx| connection.poll_message(cx)).await {
                    Some(Ok(AsyncMessage::Notice(notice))) => {
                        let text = format!("{}: {}", notice.severity(), notice.message());
                        heard.lock().unwrap_or_else(PoisonError::into_inner).push(text);
                    }
                    Some(Ok(AsyncMessage::Notification(notification))) => {
                        notified.lock().unwrap_or_else(PoisonError::into_inner).push(notification);
                    }
                    Some(Ok(_)) => {}
                    Some(Err(error)) => {
                        let words = (sqlstate(&error), cause(&error));
                        *last.lock().unwrap_or_else(PoisonError::into_inner) = Some(words);
                        return;
                    }
                    None => return,
                }
            }
        });
        Ok(Self { client, notices, notifications, farewell, driving, session })
    }

    /// By what its last commit can be asked about on another connection, as it was told at its start.
    pub fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }

    /// Its connection breaks, without a word.
    pub fn vanish(&self) {
        self.driving.abort();
    }

    /// The notices since the last call, as `SEVERITY: message`.
    pub fn take_notices(&self) -> Vec<String> {
        std::mem::take(&mut *self.notices.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The notifications since the last call.
    pub fn take_notifications(&self) -> Vec<Notification> {
        std::mem::take(&mut *self.notifications.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The SQLSTATE and the words of an error. A connection that was ended between two statements heard why before the
    /// second one failed, as psql and libpq show it.
    pub fn words(&self, error: &tokio_postgres::Error) -> (String, String) {
        let farewell = self.farewell.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let own = (sqlstate(error), cause(error));
        if error.as_db_error().is_some() { own } else { farewell.unwrap_or(own) }
    }

    /// Whether the connection has ended, or is about to, because the error says that it is fatal.
    pub fn is_over(&self, error: &tokio_postgres::Error) -> bool {
        let fatal =
            |said: &DbError| matches!(said.parsed_severity(), Some(Severity::Fatal | Severity::Panic));
        self.is_closed() || error.as_db_error().is_some_and(fatal)
    }

    /// The last thing heard on a connection that has ended.
    pub fn farewell(&self) -> String {
        let farewell = self.farewell.lock().unwrap_or_else(PoisonError::into_inner).clone();
        farewell.map_or_else(|| "nothing".to_owned(), |(_, words)| words)
    }

    /// The one value that a query yields, as text.
    ///
    /// # Errors
    /// The server's, with its SQLSTATE; no row.
    pub async fn text(&self, sql: &str) -> Result<String> {
        let messages =
            self.simple_query(sql).await.map_err(|error| anyhow!("{sql}: {}", self.words(&error).1))?;
        let rows = messages.iter().filter_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        rows.last().map(str::to_owned).with_context(|| format!("{sql}: no row"))
    }
}

impl Deref for Client {
    type Target = tokio_postgres::Client;

    fn deref(&self) -> &Self::Target {
        &self.client
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Without a word, as a crashed application leaves: pgsteer has to cope with it.
        self.driving.abort();
    }
}
