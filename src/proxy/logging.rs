//! The log: to standard error, as text or JSON, at a level that a reload can change.

use std::io::{self, Write};

use tracing_subscriber::{
    Registry,
    filter::{LevelFilter, Targets},
    fmt,
    layer::SubscriberExt,
    reload::{self, Handle},
    util::SubscriberInitExt,
};

use crate::config::{Config, LogFormat, LogLevel};

/// The running log.
pub(super) struct Log(Option<Handle<Targets, Registry>>);

const fn level(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

/// What we say ourselves, from this level on; of libraries what is wrong alone. What they say in detail is about bytes on
/// connections, and nobody has seen to it that no secret is among them.
fn filter(chosen: LogLevel) -> Targets {
    let others = if chosen == LogLevel::Error { LevelFilter::ERROR } else { LevelFilter::WARN };
    Targets::new().with_default(others).with_target("pgsteer", level(chosen))
}

/// Starts the log as the configuration says.
pub(super) fn start(config: &Config) -> Log {
    let log = &config.keys.log;
    let (filter, handle) = reload::Layer::new(filter(log.level));
    let output = fmt::layer().with_writer(|| OneLine(io::stderr())).with_target(false).with_ansi(false);
    let registry = tracing_subscriber::registry().with(filter);
    let started = match log.format {
        LogFormat::Text => registry.with(output).try_init(),
        LogFormat::Json => registry.with(output.json().flatten_event(true)).try_init(),
    };
    // Where another log runs already, that one is used.
    Log(started.is_ok().then_some(handle))
}

impl Log {
    /// Takes over the level of a configuration that was read again.
    pub(super) fn follow(&self, config: &Config) {
        if let Some(handle) = &self.0
            && let Err(error) = handle.reload(filter(config.keys.log.level))
        {
            tracing::warn!("the log's level stays as it was: {error}");
        }
    }
}

/// Writes each event as one line. What clients and servers say stands in messages, and a line break in a user's name
/// must not look like the beginning of another event.
struct OneLine<W>(W);

impl<W: Write> Write for OneLine<W> {
    /// Takes an event whole, as the formatter hands it over.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        if line.contains(char::is_control) {
            let mut clean = String::with_capacity(line.len() + 16);
            for c in line.chars() {
                if c.is_control() { clean.extend(c.escape_default()) } else { clean.push(c) }
            }
            clean.push('\n');
            self.0.write_all(clean.as_bytes())?;
        } else {
            self.0.write_all(event)?;
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_say_only_what_is_wrong() {
        use tracing::Level;
        for (chosen, target, at, said) in [
            (LogLevel::Trace, "pgsteer::proxy::run", Level::TRACE, true),
            (LogLevel::Trace, "h2::codec::framed_write", Level::INFO, false),
            (LogLevel::Trace, "h2", Level::WARN, true),
            (LogLevel::Info, "pgsteer", Level::INFO, true),
            (LogLevel::Info, "pgsteer", Level::DEBUG, false),
            (LogLevel::Error, "h2", Level::WARN, false),
        ] {
            assert_eq!(filter(chosen).would_enable(target, &at), said, "{chosen:?} {target} {at}");
        }
    }

    #[test]
    fn an_event_is_one_line() {
        for (event, line) in [
            ("INFO it was so\n", "INFO it was so\n"),
            ("INFO user \"x\nINFO forged\"\n", "INFO user \"x\\nINFO forged\"\n"),
            ("a\r\u{1b}[2J\u{85}ü\n\n", "a\\r\\u{1b}[2J\\u{85}ü\\n\n"),
        ] {
            let mut written = OneLine(Vec::new());
            written.write_all(event.as_bytes()).unwrap();
            assert_eq!(String::from_utf8(written.0).unwrap(), line);
        }
    }
}
