//! Clients that are slow or silent, and probes beside them.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::proxy::Proxy;

/// More than may be connected at once.
const SILENT: usize = 100;
/// No probe takes longer; silent ones would be waited for 5 s, and slow ones 10 s.
const PROBE_MAX: Duration = Duration::from_secs(2);

/// Nobody keeps a probe waiting: not by saying nothing, not by half a request, not by reading nothing of the answer.
pub(super) async fn silent_clients_keep_no_probe_waiting(proxy: &Proxy) {
    for said in ["", "GET /ready HTTP/1.1\r\nHost:", "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"] {
        let mut silent = Vec::new();
        for _ in 0..SILENT {
            let mut stream = TcpStream::connect(("127.0.0.1", proxy.http)).await.unwrap();
            stream.write_all(said.as_bytes()).await.unwrap();
            silent.push(stream);
        }
        for target in ["/ready", "/health", "/metrics"] {
            let answer = tokio::time::timeout(PROBE_MAX, proxy.get(target)).await;
            let (status, _) = answer.unwrap_or_else(|_| panic!("no answer to {target} beside {said:?}"));
            assert_eq!(status, 200, "{target} beside {said:?}");
        }
        // Who was silent longest has given way.
        let mut read = Vec::new();
        let ended = silent[0].read_to_end(&mut read);
        // Closed in due form or not, as long as it is closed.
        let _ = tokio::time::timeout(PROBE_MAX, ended).await.expect("it is still connected");
    }
}
