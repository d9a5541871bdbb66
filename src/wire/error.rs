//! Errors and notices: our one table of SQLSTATEs, what we send, and what a server sent.
//!
//! Fields as in PostgreSQL's protocol, chapter "Error and Notice Message Fields".

use bytes::BytesMut;
use pgwire::messages::{
    Message as _,
    response::{ErrorResponse, NoticeResponse},
};
use std::{borrow::Cow, fmt};

/// A five-character SQLSTATE.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SqlState([u8; 5]);

impl SqlState {
    /// The code a server sent: five digits or capital letters.
    pub fn parse(code: &[u8]) -> Option<Self> {
        let code: [u8; 5] = code.try_into().ok()?;
        code.iter().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase()).then_some(Self(code))
    }

    /// The code as text.
    pub fn as_str(&self) -> &str {
        // Always ASCII: both constructors see to it.
        std::str::from_utf8(&self.0).unwrap_or("XX000")
    }
}

impl fmt::Debug for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

macro_rules! sqlstates {
    ($($name:ident = $code:literal $condition:literal;)*) => {
        impl SqlState {
            $(
                #[doc = concat!("`", $code, "` ", $condition)]
                pub const $name: Self = Self(*$code.as_bytes().first_chunk::<5>().expect("five characters"));
            )*
            /// Every code that pgsteer itself sends or looks for, with PostgreSQL's name for the condition.
            pub const TABLE: &'static [(Self, &'static str)] = &[$((Self::$name, $condition)),*];
        }
    };
}

sqlstates! {
    WARNING = "01000" "warning";
    CONNECTION_EXCEPTION = "08000" "connection_exception";
    UNABLE_TO_CONNECT = "08001" "sqlclient_unable_to_establish_sqlconnection";
    CONNECTION_DOES_NOT_EXIST = "08003" "connection_does_not_exist";
    REJECTED_CONNECTION = "08004" "sqlserver_rejected_establishment_of_sqlconnection";
    CONNECTION_FAILURE = "08006" "connection_failure";
    TRANSACTION_RESOLUTION_UNKNOWN = "08007" "transaction_resolution_unknown";
    PROTOCOL_VIOLATION = "08P01" "protocol_violation";
    FEATURE_NOT_SUPPORTED = "0A000" "feature_not_supported";
    CHARACTER_NOT_IN_REPERTOIRE = "22021" "character_not_in_repertoire";
    INVALID_PARAMETER_VALUE = "22023" "invalid_parameter_value";
    ACTIVE_SQL_TRANSACTION = "25001" "active_sql_transaction";
    READ_ONLY_SQL_TRANSACTION = "25006" "read_only_sql_transaction";
    IN_FAILED_SQL_TRANSACTION = "25P02" "in_failed_sql_transaction";
    IDLE_IN_TRANSACTION_TIMEOUT = "25P03" "idle_in_transaction_session_timeout";
    TRANSACTION_TIMEOUT = "25P04" "transaction_timeout";
    INVALID_SQL_STATEMENT_NAME = "26000" "invalid_sql_statement_name";
    INVALID_AUTHORIZATION = "28000" "invalid_authorization_specification";
    INVALID_PASSWORD = "28P01" "invalid_password";
    INVALID_CATALOG_NAME = "3D000" "invalid_catalog_name";
    SERIALIZATION_FAILURE = "40001" "serialization_failure";
    INSUFFICIENT_PRIVILEGE = "42501" "insufficient_privilege";
    SYNTAX_ERROR = "42601" "syntax_error";
    UNDEFINED_OBJECT = "42704" "undefined_object";
    DUPLICATE_PREPARED_STATEMENT = "42P05" "duplicate_prepared_statement";
    INSUFFICIENT_RESOURCES = "53000" "insufficient_resources";
    OUT_OF_MEMORY = "53200" "out_of_memory";
    TOO_MANY_CONNECTIONS = "53300" "too_many_connections";
    CONFIGURATION_LIMIT_EXCEEDED = "53400" "configuration_limit_exceeded";
    PROGRAM_LIMIT_EXCEEDED = "54000" "program_limit_exceeded";
    OBJECT_NOT_IN_PREREQUISITE_STATE = "55000" "object_not_in_prerequisite_state";
    QUERY_CANCELED = "57014" "query_canceled";
    ADMIN_SHUTDOWN = "57P01" "admin_shutdown";
    CRASH_SHUTDOWN = "57P02" "crash_shutdown";
    CANNOT_CONNECT_NOW = "57P03" "cannot_connect_now";
    DATABASE_DROPPED = "57P04" "database_dropped";
    IDLE_SESSION_TIMEOUT = "57P05" "idle_session_timeout";
    SYSTEM_ERROR = "58000" "system_error";
    WRITE_LOST = "PS001" "pgsteer_write_lost";
    INTERNAL_ERROR = "XX000" "internal_error";
}

/// How bad it is. What ends the session is [`Fatal`](Self::Fatal) or worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The statement failed.
    Error,
    /// The session ends.
    Fatal,
    /// The server restarts.
    Panic,
    /// A notice that something may be wrong.
    Warning,
    /// A notice. Servers' LOG, INFO and DEBUG count as this.
    Notice,
}

impl Severity {
    /// PostgreSQL's word for it, never translated.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
            Self::Panic => "PANIC",
            Self::Warning => "WARNING",
            Self::Notice => "NOTICE",
        }
    }

    fn parse(word: &[u8]) -> Option<Self> {
        Some(match word {
            b"ERROR" => Self::Error,
            b"FATAL" => Self::Fatal,
            b"PANIC" => Self::Panic,
            b"WARNING" => Self::Warning,
            b"NOTICE" | b"LOG" | b"INFO" | b"DEBUG" => Self::Notice,
            _ => return None,
        })
    }

    /// Whether this travels as a NoticeResponse rather than an ErrorResponse.
    const fn is_notice(self) -> bool {
        matches!(self, Self::Warning | Self::Notice)
    }
}

/// An error or notice that pgsteer sends to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PgError {
    /// How bad it is.
    pub severity: Severity,
    /// Its SQLSTATE.
    pub code: SqlState,
    /// One line, in PostgreSQL's style: lower case, no full stop.
    pub message: Cow<'static, str>,
    /// More, as whole sentences.
    pub detail: Option<Cow<'static, str>>,
    /// What to do about it, as whole sentences.
    pub hint: Option<Cow<'static, str>>,
}

impl PgError {
    /// Anything.
    pub fn new(severity: Severity, code: SqlState, message: impl Into<Cow<'static, str>>) -> Self {
        Self { severity, code, message: message.into(), detail: None, hint: None }
    }

    /// An error that ends the session.
    pub fn fatal(code: SqlState, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Severity::Fatal, code, message)
    }

    /// An error that ends the statement.
    pub fn error(code: SqlState, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Severity::Error, code, message)
    }

    /// A notice.
    pub fn notice(code: SqlState, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Severity::Notice, code, message)
    }

    /// With a detail.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// With a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Appends it as a message: ErrorResponse, or NoticeResponse for a notice or warning.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let severity = self.severity.as_str();
        let fields = [
            (b'S', Some(severity)),
            (b'V', Some(severity)),
            (b'C', Some(self.code.as_str())),
            (b'M', Some(&*self.message)),
            (b'D', self.detail.as_deref()),
            (b'H', self.hint.as_deref()),
        ];
        // A zero within a text would end it early.
        let fields = fields.into_iter().filter_map(|(field, text)| Some((field, text?.replace('\0', ""))));
        let mut message = BytesMut::new();
        let encoded = if self.severity.is_notice() {
            NoticeResponse::new(fields.collect()).encode(&mut message)
        } else {
            ErrorResponse::new(fields.collect()).encode(&mut message)
        };
        debug_assert!(encoded.is_ok(), "writing to memory cannot fail");
        out.extend_from_slice(&message);
    }
}

impl fmt::Display for PgError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.severity.as_str(), self.message, self.code)
    }
}

impl std::error::Error for PgError {}

/// An error or notice that a server sent, as far as we look into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerError {
    /// How bad it is.
    pub severity: Severity,
    /// Its SQLSTATE.
    pub code: SqlState,
    /// The server's message, invalid UTF-8 replaced.
    pub message: String,
    /// The server's detail.
    pub detail: Option<String>,
    /// The server's hint.
    pub hint: Option<String>,
}

impl ServerError {
    /// Reads the body of an ErrorResponse or NoticeResponse. `None` if it is not laid out as one.
    ///
    /// The severity is taken from the untranslated field V where there is one (PostgreSQL 9.6), else from S; one
    /// that we do not know counts as an error.
    pub fn decode(body: &[u8]) -> Option<Self> {
        let mut fields = super::message::Reader::new(body);
        let (mut spoken, mut untranslated, mut code) = (None, None, None);
        let (mut message, mut detail, mut hint) = (None, None, None);
        loop {
            let field = fields.byte()?;
            if field == 0 {
                break;
            }
            let text = fields.cstring()?;
            let lossy = || Some(String::from_utf8_lossy(text).into_owned());
            match field {
                b'S' => spoken = Severity::parse(text),
                b'V' => untranslated = Severity::parse(text),
                b'C' => code = SqlState::parse(text),
                b'M' => message = lossy(),
                b'D' => detail = lossy(),
                b'H' => hint = lossy(),
                _ => {}
            }
        }
        fields.end()?;
        Some(Self {
            severity: untranslated.or(spoken).unwrap_or(Severity::Error),
            code: code.unwrap_or(SqlState::INTERNAL_ERROR),
            message: message.unwrap_or_default(),
            detail,
            hint,
        })
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.severity.as_str(), self.message, self.code)
    }
}

impl std::error::Error for ServerError {}

impl From<ServerError> for PgError {
    /// The same error, to be passed on to a client.
    fn from(error: ServerError) -> Self {
        Self {
            severity: error.severity,
            code: error.code,
            message: error.message.into(),
            detail: error.detail.map(Cow::Owned),
            hint: error.hint.map(Cow::Owned),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(error: &PgError) -> (u8, Vec<u8>) {
        let mut out = Vec::new();
        error.encode(&mut out);
        let length = u32::from_be_bytes([out[1], out[2], out[3], out[4]]) as usize;
        assert_eq!(length, out.len() - 1, "the length counts itself and the body");
        (out[0], out.split_off(5))
    }

    #[test]
    fn what_is_sent_reads_back() {
        let error = PgError::fatal(SqlState::TOO_MANY_CONNECTIONS, "sorry, too many clients already")
            .detail("a detail")
            .hint("a hint");
        let (tag, body) = body(&error);
        assert_eq!(tag, b'E');
        assert_eq!(ServerError::decode(&body).map(PgError::from), Some(error));
    }

    #[test]
    fn fields_are_as_postgresql_orders_them() {
        let (tag, body) = body(&PgError::notice(SqlState::WARNING, "x\0y"));
        assert_eq!((tag, &body[..]), (b'N', &b"SNOTICE\0VNOTICE\0C01000\0Mxy\0\0"[..]));
    }

    #[test]
    fn bodies_of_servers() {
        let read =
            |body: &[u8]| ServerError::decode(body).map(|e| (e.severity, e.code.to_string(), e.message));
        let text = "x".to_owned();
        // A translated severity is told by V alone; what is missing or unknown has a default.
        for (body, expected) in [
            (&b"SFATAL\0VFATAL\0C57P03\0Mx\0\0"[..], Some((Severity::Fatal, "57P03".into(), text.clone()))),
            (
                b"SFEHLER\0VERROR\0C42601\0Mx\0Fscan.l\0\0",
                Some((Severity::Error, "42601".into(), text.clone())),
            ),
            (b"SPANIC\0C58000\0Mx\0\0", Some((Severity::Panic, "58000".into(), text.clone()))),
            (b"SLOG\0Cbad\0Mx\0\0", Some((Severity::Notice, "XX000".into(), text))),
            (b"\0", Some((Severity::Error, "XX000".into(), String::new()))),
            (b"M\xff\0\0", Some((Severity::Error, "XX000".into(), "\u{fffd}".into()))),
            (b"", None),
            (b"Mx", None),
            (b"Mx\0", None),
            (b"Mx\0\0junk", None),
        ] {
            assert_eq!(read(body), expected, "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn the_table_names_each_code_once() {
        let codes: std::collections::BTreeSet<_> = SqlState::TABLE.iter().map(|(code, _)| code).collect();
        assert_eq!(codes.len(), SqlState::TABLE.len());
        for (code, name) in SqlState::TABLE {
            assert_eq!(SqlState::parse(code.as_str().as_bytes()), Some(*code));
            // tokio-postgres generates its table from PostgreSQL's errcodes.txt.
            assert_eq!(
                tokio_postgres::error::SqlState::from_code(code.as_str()).code(),
                code.as_str(),
                "{name}"
            );
        }
    }
}
