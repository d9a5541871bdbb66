//! An HTTP server whose answers the test decides.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// What is asked, and what is answered: status and body; or nothing, ever.
pub(crate) type Answers = Arc<Mutex<BTreeMap<String, (u16, String)>>>;

/// Answers each path with what stands in the table; what does not stand there hangs. Closes after each answer, as
/// Python's own server does.
pub(crate) struct StandIn {
    pub(crate) address: SocketAddr,
    pub(crate) answers: Answers,
    /// The heads of all requests.
    pub(crate) asked: Arc<Mutex<Vec<String>>>,
    serving: JoinHandle<()>,
}

impl StandIn {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (answers, asked) = (Answers::default(), Arc::<Mutex<Vec<String>>>::default());
        let (table, heads) = (answers.clone(), asked.clone());
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, table.clone(), heads.clone()));
            }
        });
        Self { address, answers, asked, serving }
    }

    pub(crate) fn answer(&self, path: &str, status: u16, body: &str) {
        self.answers.lock().unwrap().insert(path.to_owned(), (status, body.to_owned()));
    }

    pub(crate) fn fall_silent(&self) {
        self.answers.lock().unwrap().clear();
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// The head of a request; `None` if there comes no more.
pub(crate) async fn head(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(bytes).ok()
}

async fn serve(mut stream: TcpStream, answers: Answers, asked: Arc<Mutex<Vec<String>>>) {
    let Some(head) = head(&mut stream).await else { return };
    let path = head.split(' ').nth(1).unwrap().to_owned();
    asked.lock().unwrap().push(head);
    let answer = answers.lock().unwrap().get(&path).cloned();
    match answer {
        None => tokio::time::sleep(Duration::from_secs(3600)).await,
        Some((status, body)) => {
            let text = format!("HTTP/1.0 {status} As asked\r\nContent-Type: application/json\r\n\r\n{body}");
            let _gone = stream.write_all(text.as_bytes()).await;
        }
    }
}
