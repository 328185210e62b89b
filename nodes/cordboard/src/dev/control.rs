//! How `cordboard dev restart ID` reaches the running `cordboard dev`: one line over a Unix socket in its directory.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context as _, bail};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    sync::{mpsc, oneshot},
};

/// The longest id a request may carry, bytes.
const LINE_MAX: u64 = 64;
/// How long either side waits for the other.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// Requests that may wait.
const REQUESTS_MAX: usize = 16;

/// Somebody wants this child started again.
#[derive(Debug)]
pub(crate) struct Restart {
    pub(crate) id: String,
    answer: oneshot::Sender<String>,
}

impl Restart {
    /// Tells the asker.
    pub(crate) fn answer(self, outcome: anyhow::Result<()>) {
        let line = outcome.map_or_else(|error| format!("error: {error:#}"), |()| "ok".to_owned());
        let _ = self.answer.send(line);
    }
}

/// Requests from now on.
pub(crate) fn listen(dir: &Path) -> anyhow::Result<mpsc::Receiver<Restart>> {
    let path = dir.join("dev.sock");
    let _ = fs::remove_file(&path);
    let listener = UnixListener::bind(&path)
        .with_context(|| format!("cannot listen on {} (a shorter --dir helps when it is long)", path.display()))?;
    let (requests, receiver) = mpsc::channel(REQUESTS_MAX);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let requests = requests.clone();
            tokio::spawn(async move {
                let _ = tokio::time::timeout(WAIT_MAX, serve(stream, requests)).await;
            });
        }
    });
    Ok(receiver)
}

async fn serve(stream: UnixStream, requests: mpsc::Sender<Restart>) -> anyhow::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    BufReader::new(read.take(LINE_MAX)).read_line(&mut line).await?;
    let (answer, answered) = oneshot::channel();
    requests.send(Restart { id: line.trim().to_owned(), answer }).await?;
    write.write_all(answered.await?.as_bytes()).await?;
    Ok(())
}

/// Asks, and waits for the answer.
pub(crate) async fn ask_restart(dir: &Path, id: &str) -> anyhow::Result<()> {
    let path = dir.join("dev.sock");
    let asked = async {
        let mut stream = UnixStream::connect(&path)
            .await
            .with_context(|| format!("no `cordboard dev` runs in {}", dir.display()))?;
        stream.write_all(format!("{id}\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        match answer.strip_prefix("error: ") {
            None if answer == "ok" => Ok(()),
            Some(error) => bail!("{error}"),
            None => bail!("`cordboard dev` ended before it answered"),
        }
    };
    tokio::time::timeout(WAIT_MAX, asked).await.context("`cordboard dev` does not answer")?
}
