//! A node in this process as it would be in one of its own: its connections end with it, and its end says how it was.

use std::{net::TcpListener, time::Duration};

use node::NodeConfig;
use tokio::{
    sync::oneshot,
    task::JoinHandle,
    time::{sleep, timeout},
};

/// How long anything may take that is going to come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// How long its runtime waits for what is still going on in it.
const SHUTDOWN_MAX: Duration = Duration::from_secs(2);

pub(crate) struct Running {
    stop: oneshot::Sender<()>,
    ended: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    pub(crate) fn start(config: NodeConfig) -> Self {
        let (stop, stopped) = oneshot::channel();
        let ended = tokio::task::spawn_blocking(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
            let runtime = runtime.expect("a runtime");
            let run = node::run(config, async {
                let _ = stopped.await;
            });
            let ended = runtime.block_on(run);
            runtime.shutdown_timeout(SHUTDOWN_MAX);
            ended
        });
        Self { stop, ended }
    }

    pub(crate) async fn stop(self) {
        let _ = self.stop.send(());
        let ended = timeout(PATIENCE, self.ended).await.expect("the node stops in time").expect("it does not panic");
        ended.expect("it stops well");
    }

    /// Waits until it has ended by itself, and says why it did.
    pub(crate) async fn refusal(self) -> String {
        let Self { ended, stop: _not_asked } = self;
        let ended = timeout(PATIENCE, ended).await.expect("it ends in time").expect("it does not panic");
        let error = ended.expect_err("it must not run");
        assert!(node::is_refusal(&error), "{error:#}");
        format!("{error:#}")
    }
}

/// Where so many nodes can listen.
pub(crate) fn places(count: usize) -> Vec<String> {
    // All are held until each has its number, so that no two are the same.
    let held: Vec<_> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
    held.iter().map(|held| held.local_addr().expect("bound").to_string()).collect()
}

pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let found = timeout(PATIENCE, async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            sleep(Duration::from_millis(20)).await;
        }
    });
    found.await.unwrap_or_else(|_| panic!("not in time: {what}"))
}
