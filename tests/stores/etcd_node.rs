//! A real etcd of one node, with both its APIs (3.4 and 3.5 have the second one on demand).

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::Duration,
};

use etcd_client::{Client, ConnectOptions};
use pgsteer_testkit::eventually;
use tempfile::TempDir;

/// It is killed when dropped.
pub(super) struct Etcd {
    pub(super) child: Child,
    pub(super) port: u16,
    pub(super) peer_port: u16,
    pub(super) folder: TempDir,
}

impl Etcd {
    pub(super) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [port, peer_port] = free_ports();
        let child = spawn(&folder, port, peer_port);
        let etcd = Self { child, port, peer_port, folder };
        etcd.client().await;
        etcd
    }

    pub(super) async fn restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = spawn(&self.folder, self.port, self.peer_port);
        self.client().await;
    }

    pub(super) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A client of the v3 API, once etcd answers.
    pub(super) async fn client(&self) -> Client {
        eventually("etcd answers", super::PATIENCE, async || {
            let options = ConnectOptions::new().with_timeout(Duration::from_secs(2));
            let mut client = Client::connect([self.endpoint()], Some(options)).await.ok()?;
            client.get("x", None).await.ok()?;
            Some(client)
        })
        .await
        .unwrap()
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

pub(super) fn free_ports() -> [u16; 2] {
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

fn spawn(folder: &TempDir, port: u16, peer_port: u16) -> Child {
    command(&format!("http://127.0.0.1:{port}"), peer_port)
        .arg("--enable-v2")
        .arg("--data-dir")
        .arg(folder.path().join("data"))
        .spawn()
        .expect("the binary `etcd` (Debian: etcd-server)")
}

/// An etcd that is reached by this URL.
pub(super) fn command(client: &str, peer_port: u16) -> Command {
    let peer = format!("http://127.0.0.1:{peer_port}");
    let mut command = Command::new("etcd");
    command
        .args(["--listen-client-urls", client, "--advertise-client-urls", client])
        .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", &format!("default={peer}")])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}
