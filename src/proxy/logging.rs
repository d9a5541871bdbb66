//! The log: to standard error, as text or JSON, at a level that a reload can change.

use tracing_subscriber::{
    Registry,
    filter::LevelFilter,
    fmt,
    layer::SubscriberExt,
    reload::{self, Handle},
    util::SubscriberInitExt,
};

use crate::config::{Config, LogFormat, LogLevel};

/// The running log.
pub(super) struct Log(Option<Handle<LevelFilter, Registry>>);

const fn level(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

/// Starts the log as the configuration says.
pub(super) fn start(config: &Config) -> Log {
    let log = &config.keys.log;
    let (filter, handle) = reload::Layer::new(level(log.level));
    let output = fmt::layer().with_writer(std::io::stderr).with_target(false).with_ansi(false);
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
            && let Err(error) = handle.reload(level(config.keys.log.level))
        {
            tracing::warn!("the log's level stays as it was: {error}");
        }
    }
}
