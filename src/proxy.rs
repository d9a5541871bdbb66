//! The proxy.

use crate::config::Source;

/// Serves clients until told to stop.
///
/// # Errors
/// The configuration cannot be used.
pub fn run(source: Source) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    source.load()?;
    Ok(())
}
