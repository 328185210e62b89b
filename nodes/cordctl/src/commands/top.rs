//! `cordctl top`: the cluster, live. Asks once a second in the background, so that keys are always answered.

mod frame;

use std::{
    io::{self, IsTerminal as _},
    thread,
    time::Duration,
};

use proto::v1::{GatewayInfo, NodeInfo, QueueInfo, ShardInfo, Status};
use ratatui::{
    DefaultTerminal, Terminal,
    backend::TestBackend,
    crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
    time::{MissedTickBehavior, interval},
};

use super::{gateway, node, queue, shard, status};
use crate::{cluster::Cluster, failure::Failure};

const REFRESH: Duration = Duration::from_secs(1);
const KEYS_MAX: usize = 64;
/// The size of a `--once` frame; queues beyond it are counted, not shown.
const ONCE_COLUMNS: u16 = 120;
const ONCE_LINES_MAX: u16 = 1_000;

/// One look at the cluster.
#[derive(Debug, Clone, Default)]
struct Look {
    status: Status,
    nodes: Vec<NodeInfo>,
    shards: Vec<ShardInfo>,
    gateways: Vec<GatewayInfo>,
    queues: Vec<QueueInfo>,
}

/// What is on the screen.
#[derive(Debug, Clone, Default)]
struct Shown {
    /// None until the first answer.
    look: Option<Look>,
    /// Why the look is not fresh.
    fault: Option<String>,
}

/// Shows the cluster until somebody quits, or once.
pub(super) async fn run(once: bool, mut cluster: Cluster) -> Result<String, Failure> {
    if once {
        let look = take_look(&mut cluster).await?;
        return printed(look);
    }
    if !io::stdout().is_terminal() {
        return Err(Failure::Usage("top: stdout is not a terminal; use `cordctl top --once`".to_owned()));
    }
    let broken = |error: io::Error| Failure::Local(format!("top: the terminal failed: {error}"));
    // Sets a panic hook that gives the terminal back first.
    let mut terminal = ratatui::try_init().map_err(broken)?;
    let result = watch_live(&mut terminal, cluster).await;
    let restored = ratatui::try_restore();
    result.and(restored).map_err(broken)?;
    Ok(String::new())
}

async fn watch_live(terminal: &mut DefaultTerminal, cluster: Cluster) -> io::Result<()> {
    let (tell, mut shown) = watch::channel(Shown::default());
    let looking = tokio::spawn(keep_looking(cluster, tell));
    let mut keys = keys();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut first = 0_usize;
    loop {
        let now = shown.borrow_and_update().clone();
        let queues = now.look.as_ref().map_or(0, |look| look.queues.len());
        first = first.min(queues.saturating_sub(1));
        terminal.draw(|frame| frame::draw(frame, &now, first))?;
        tokio::select! {
            changed = shown.changed() => if changed.is_err() { break },
            key = keys.recv() => match key {
                Some(Key::Up) => first = first.saturating_sub(1),
                Some(Key::Down) => first = first.saturating_add(1),
                Some(Key::Other) => {}
                Some(Key::Quit) | None => break,
            },
            _ = terminate.recv() => break,
        }
    }
    looking.abort();
    Ok(())
}

async fn keep_looking(mut cluster: Cluster, tell: watch::Sender<Shown>) {
    let mut ticks = interval(REFRESH);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match take_look(&mut cluster).await {
            Ok(look) => tell.send_modify(|shown| *shown = Shown { look: Some(look), fault: None }),
            Err(failure) => tell.send_modify(|shown| shown.fault = Some(failure.to_string())),
        }
    }
}

async fn take_look(cluster: &mut Cluster) -> Result<Look, Failure> {
    Ok(Look {
        status: status::fetch(cluster).await?,
        nodes: node::fetch(cluster).await?,
        shards: shard::fetch(cluster).await?,
        gateways: gateway::fetch(cluster).await?,
        queues: queue::fetch(cluster).await?,
    })
}

fn printed(look: Look) -> Result<String, Failure> {
    let shown = Shown { look: Some(look), fault: None };
    let lines = frame::lines(&shown).min(ONCE_LINES_MAX);
    let failed = |error: &dyn std::fmt::Display| Failure::Local(format!("top: cannot draw: {error}"));
    let mut terminal = Terminal::new(TestBackend::new(ONCE_COLUMNS, lines)).map_err(|error| failed(&error))?;
    terminal.draw(|frame| frame::draw(frame, &shown, 0)).map_err(|error| failed(&error))?;
    let buffer = terminal.backend().buffer();
    let mut text = String::new();
    for row in buffer.content().chunks(usize::from(ONCE_COLUMNS)) {
        let line: String = row.iter().map(ratatui::buffer::Cell::symbol).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    Ok(text)
}

enum Key {
    Up,
    Down,
    Quit,
    /// Anything else, a new size of the terminal among it: draw again.
    Other,
}

/// Reads the keyboard on a thread of its own, which ends with the process.
fn keys() -> mpsc::Receiver<Key> {
    let (tell, keys) = mpsc::channel(KEYS_MAX);
    thread::spawn(move || {
        while let Ok(event) = event::read() {
            if tell.blocking_send(key_of(&event)).is_err() {
                break;
            }
        }
    });
    keys
}

fn key_of(event: &Event) -> Key {
    let Event::Key(key) = event else { return Key::Other };
    if key.kind == KeyEventKind::Release {
        return Key::Other;
    }
    match key.code {
        KeyCode::Char('q') | KeyCode::Esc => Key::Quit,
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Key::Quit,
        KeyCode::Up | KeyCode::Char('k') => Key::Up,
        KeyCode::Down | KeyCode::Char('j') => Key::Down,
        _ => Key::Other,
    }
}
