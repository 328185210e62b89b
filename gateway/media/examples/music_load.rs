//! Opens N legs with music to local sinks and says what they cost: `music_load [LEGS] [SECONDS] [THREADS]`. The sinks are sockets that
//! nobody reads, so the kernel's work of delivering to them is in the figure (system time), reading is not.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use media::{Codec, Count, Direction, MediaConfig, MediaKey, MediaPlane, Remote};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let legs: u32 = arguments.next().map_or(Ok(1_000), |text| text.parse())?;
    let seconds: u64 = arguments.next().map_or(Ok(10), |text| text.parse())?;
    let threads: usize = arguments.next().map_or(Ok(1), |text| text.parse())?;
    let sinks: Vec<UdpSocket> = (0..16).map(|_| UdpSocket::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    let config = MediaConfig { ports: 16_384..=32_767, threads, ..MediaConfig::default() };
    let (plane, _events) = MediaPlane::start(config)?;
    plane.warnings().iter().for_each(|warning| say(&format!("warning: {warning}")));

    let rss_empty = rss_kb()?;
    let opening = Instant::now();
    for leg in 0..legs {
        plane.open(MediaKey { call: u64::from(leg), leg: 1 })?;
    }
    std::thread::sleep(Duration::from_millis(500));
    let rss_open = rss_kb()?;
    say(&format!(
        "{legs} legs opened in {:.0?}: {:.2} kB of RSS each",
        opening.elapsed(),
        (rss_open - rss_empty) / f64::from(legs)
    ));

    for leg in 0..legs {
        let key = MediaKey { call: u64::from(leg), leg: 1 };
        let address = sinks[leg as usize % sinks.len()].local_addr()?;
        plane.connect(
            key,
            Remote { address, codec: Codec::Pcma, dtmf_payload: Some(101), direction: Direction::SendRecv, srtp: None },
        );
        plane.play(key, "music");
    }
    std::thread::sleep(Duration::from_secs(1));
    let rss_playing = rss_kb()?;
    let (user, system) = cpu_ms()?;
    let (sent, late) = (plane.count(Count::PacketsSent), plane.count(Count::FramesLate));
    let began = Instant::now();
    std::thread::sleep(Duration::from_secs(seconds));
    let elapsed = began.elapsed().as_secs_f64();
    let (user, system) = (cpu_ms()?.0 - user, cpu_ms()?.1 - system);
    let sent = plane.count(Count::PacketsSent) - sent;
    let leg_seconds = f64::from(legs) * elapsed;
    say(&format!("{:.2} kB of RSS each while music plays", (rss_playing - rss_empty) / f64::from(legs)));
    say(&format!(
        "{:.3} CPU-ms per leg-second ({:.3} user, {:.3} system), {:.1} % of one core, {:.1} us per packet",
        (user + system) / leg_seconds,
        user / leg_seconds,
        system / leg_seconds,
        (user + system) / elapsed / 10.0,
        (user + system) * 1_000.0 / sent.max(1) as f64
    ));
    say(&format!(
        "{:.1} packets a second and leg, {} frames left out, {} send errors",
        sent as f64 / leg_seconds,
        plane.count(Count::FramesLate) - late,
        plane.count(Count::SendErrors)
    ));
    Ok(())
}

#[allow(clippy::print_stdout)]
fn say(line: &str) {
    println!("{line}");
}

fn rss_kb() -> Result<f64, Box<dyn std::error::Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse()?)
}

/// User and system time of all our threads; the kernel counts in hundredths of a second.
fn cpu_ms() -> Result<(f64, f64), Box<dyn std::error::Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').ok_or("no fields")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = |field: usize| -> Result<f64, Box<dyn std::error::Error>> {
        Ok(fields.get(field).ok_or("too few fields")?.parse::<f64>()? * 10.0)
    };
    Ok((ticks(11)?, ticks(12)?))
}
