//! What `top` looks like: one look at the cluster onto one frame. Asks nobody; fits whatever size it is given.

use proto::v1::{GatewayInfo, NodeInfo, QueueInfo, ShardInfo, Status};
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Paragraph, Row, Table},
};

use super::Shown;
use crate::output::{Tone, clean, lasting};

const HEAD_LINES: u16 = 3;
const BOXES_MAX: usize = 12;

/// Draws everything that fits; the queues begin with number `first`.
pub(super) fn draw(frame: &mut Frame<'_>, shown: &Shown, first: usize) {
    let area = frame.area();
    let Some(look) = &shown.look else {
        let text = shown.fault.as_deref().unwrap_or("asking the cluster ...");
        frame.render_widget(Paragraph::new(clean_text(text)), area);
        return;
    };
    let rows = Layout::vertical([
        Constraint::Length(HEAD_LINES),
        Constraint::Length(table_lines(look.nodes.len())),
        Constraint::Length(table_lines(look.shards.len())),
        Constraint::Length(table_lines(look.gateways.len())),
        Constraint::Min(0),
    ]);
    let [head, nodes, shards, gateways, queues] = rows.areas(area);
    draw_head(frame, head, &look.status, shown.fault.as_deref());
    draw_nodes(frame, nodes, &look.nodes);
    draw_shards(frame, shards, &look.shards);
    draw_gateways(frame, gateways, &look.gateways);
    draw_queues(frame, queues, look.queues.get(first..).unwrap_or_default());
}

/// How many lines everything needs.
pub(super) fn lines(shown: &Shown) -> u16 {
    let Some(look) = &shown.look else { return HEAD_LINES };
    let queues = u16::try_from(look.queues.len()).unwrap_or(u16::MAX).saturating_add(1);
    [look.nodes.len(), look.shards.len(), look.gateways.len()]
        .into_iter()
        .map(table_lines)
        .fold(HEAD_LINES, u16::saturating_add)
        .saturating_add(queues)
}

/// A heading, the rows, an empty line.
fn table_lines(rows: usize) -> u16 {
    u16::try_from(rows.min(BOXES_MAX)).unwrap_or(0).saturating_add(2)
}

fn draw_head(frame: &mut Frame<'_>, area: Rect, status: &Status, fault: Option<&str>) {
    let Status { nodes_up, nodes_total, shards_led, shards_total, gateways_up, gateways_total, .. } = status;
    let whole = Line::from(vec![
        Span::styled("cordboard", Modifier::BOLD),
        count("nodes", *nodes_up, *nodes_total),
        count("shards led", *shards_led, *shards_total),
        count("gateways", *gateways_up, *gateways_total),
        Span::raw(format!("   configuration {}   answered by {}", status.config_version, clean(&status.answered_by))),
    ]);
    let work = Line::from(format!(
        "calls: {} waiting, {} talking   agents: {} of {} ready",
        status.calls_waiting, status.calls_talking, status.agents_ready, status.agents_total
    ));
    let last = match fault {
        Some(fault) => Line::styled(format!("not fresh: {}", clean(fault)), paint(Tone::Bad)),
        None => Line::default(),
    };
    frame.render_widget(Paragraph::new(vec![whole, work, last]), area);
}

fn count(what: &str, up: u32, total: u32) -> Span<'static> {
    let tone = if up == total { Tone::Good } else { Tone::Bad };
    Span::styled(format!("   {what} {up}/{total}"), paint(tone))
}

fn draw_nodes(frame: &mut Frame<'_>, area: Rect, nodes: &[NodeInfo]) {
    let rows = nodes.iter().map(|node| {
        let state = if node.up { "up" } else { "down" };
        let figures = [node.leads.to_string(), node.replicas.to_string(), lasting(node.uptime_ms)];
        let [leads, replicas, uptime] = figures;
        row([clean(&node.id), state.to_owned(), leads, replicas, uptime, clean(&node.grpc)], state)
    });
    let widths = [10, 8, 8, 10, 10, 40];
    table(frame, area, ["NODE", "STATE", "LEADS", "REPLICAS", "UPTIME", "GRPC"], widths, rows);
}

fn draw_shards(frame: &mut Frame<'_>, area: Rect, shards: &[ShardInfo]) {
    let rows = shards.iter().map(|shard| {
        let leader = if shard.leader.is_empty() { "none".to_owned() } else { clean(&shard.leader) };
        let replicas = clean(&shard.replicas.join(","));
        let state = if shard.leader.is_empty() { "none" } else { "up" };
        let cells = [shard.id.to_string(), leader, replicas, shard.term.to_string(), shard.applied.to_string()];
        row(cells, state)
    });
    table(frame, area, ["SHARD", "LEADER", "REPLICAS", "TERM", "APPLIED"], [10, 8, 18, 10, 16], rows);
}

fn draw_gateways(frame: &mut Frame<'_>, area: Rect, gateways: &[GatewayInfo]) {
    let rows = gateways.iter().map(|gateway| {
        let state = if gateway.up { "up" } else { "down" };
        row([clean(&gateway.id), state.to_owned(), gateway.legs.to_string(), clean(&gateway.sip)], state)
    });
    table(frame, area, ["GATEWAY", "STATE", "LEGS", "SIP"], [10, 8, 8, 40], rows);
}

/// Two tenants may have queues of the same name.
fn full_name(queue: &QueueInfo) -> String {
    if queue.tenant.is_empty() { queue.name.clone() } else { format!("{}/{}", queue.tenant, queue.name) }
}

fn draw_queues(frame: &mut Frame<'_>, area: Rect, queues: &[QueueInfo]) {
    let rows = queues.iter().map(|queue| {
        let state = match (queue.waiting, queue.agents_ready) {
            (0, _) => "idle",
            (_, 0) => "offered",
            _ => "ready",
        };
        let cells = [
            clean(&full_name(queue)),
            queue.waiting.to_string(),
            lasting(queue.longest_wait_ms),
            queue.offered.to_string(),
            queue.talking.to_string(),
            format!("{}/{}", queue.agents_ready, queue.agents_total),
            queue.calls_answered.to_string(),
            queue.calls_abandoned.to_string(),
        ];
        row(cells, state)
    });
    let heads = ["QUEUE", "WAITING", "LONGEST", "RINGING", "TALKING", "READY", "ANSWERED", "ABANDONED"];
    table(frame, area, heads, [24, 9, 9, 9, 9, 13, 10, 10], rows);
}

fn row<const N: usize>(cells: [String; N], state: &str) -> Row<'static> {
    Row::new(cells).style(paint(Tone::of(state)))
}

fn table<const N: usize>(
    frame: &mut Frame<'_>,
    area: Rect,
    heads: [&'static str; N],
    widths: [u16; N],
    rows: impl Iterator<Item = Row<'static>>,
) {
    // No more rows than can be seen: there may be thousands of queues.
    let rows = rows.take(usize::from(area.height));
    let head = Row::new(heads).style(Modifier::BOLD);
    frame.render_widget(Table::new(rows, widths.map(Constraint::Length)).header(head), area);
}

fn paint(tone: Tone) -> Style {
    match tone {
        Tone::Plain | Tone::Good => Style::new(),
        Tone::Busy => Style::new().fg(Color::Yellow),
        Tone::Bad => Style::new().fg(Color::Red),
    }
}

fn clean_text(text: &str) -> String {
    crate::output::clean_lines(text)
}

#[cfg(test)]
mod tests {
    use ratatui::{Terminal, backend::TestBackend};

    use super::{super::Look, *};

    fn busy() -> Shown {
        let queues = (0..50).map(|n| QueueInfo { name: format!("queue{n}"), waiting: n, ..QueueInfo::default() });
        let look = Look {
            nodes: vec![NodeInfo { id: "n1\x1b[2J".to_owned(), up: true, ..NodeInfo::default() }; 30],
            shards: vec![ShardInfo::default(); 2],
            gateways: vec![GatewayInfo::default(); 2],
            queues: queues.collect(),
            ..Look::default()
        };
        Shown { look: Some(look), fault: Some("n1 is gone\nand more".to_owned()) }
    }

    #[test]
    fn no_terminal_is_too_small() {
        let shown = [Shown::default(), busy()];
        for (columns, lines) in [(0, 0), (1, 1), (2, 9), (300, 1), (1, 300), (40, 5), (200, 80)] {
            for shown in &shown {
                for first in [0, 49, 50, usize::MAX] {
                    let mut terminal = Terminal::new(TestBackend::new(columns, lines)).expect("a test terminal");
                    terminal.draw(|frame| draw(frame, shown, first)).expect("drawing");
                }
            }
        }
    }
}
