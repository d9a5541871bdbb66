//! HTTP.
use super::app::App;
use crate::config::Config;
use std::sync::Arc;
pub(super) async fn bind(config: &Config) -> Result<Option<tokio::net::TcpListener>, String> {
    let _ = config;
    Ok(None)
}
pub(super) async fn serve(listener: tokio::net::TcpListener, app: Arc<App>) {
    let _ = (listener, app);
}
