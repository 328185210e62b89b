//! Which ports are free, which leg has which, and whether the machine suits the range. Never waits for the network.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;
use std::sync::{Mutex, MutexGuard, PoisonError};

use socket2::{Domain, Protocol, Socket, Type};

use crate::api::MediaKey;
use crate::error::MediaError;

/// How many ports that others use are stepped over in one `open`.
const BIND_ATTEMPTS_MAX: usize = 1_024;

const EMFILE: i32 = 24;
const ENFILE: i32 = 23;

/// The ports of the range. Freed ports are used again last, so that late packets of the old call meet nobody.
#[derive(Debug)]
pub(crate) struct Ports {
    ip: IpAddr,
    receive_buffer_bytes: usize,
    table: Mutex<Table>,
}

#[derive(Debug)]
struct Table {
    /// RFC 3550, 11: RTP should use even ports; some phones clear the last bit of what they are told.
    even: VecDeque<u16>,
    odd: VecDeque<u16>,
    legs: HashMap<MediaKey, u16>,
}

/// What `open` found.
pub(crate) enum Opened {
    /// The leg had this port already.
    Already(u16),
    /// A new socket on this port.
    Fresh(u16, UdpSocket),
}

impl Ports {
    pub(crate) fn new(ip: IpAddr, range: RangeInclusive<u16>, receive_buffer_bytes: usize) -> Ports {
        let (even, odd) = range.filter(|port| *port != 0).partition(|port| port.is_multiple_of(2));
        Ports { ip, receive_buffer_bytes, table: Mutex::new(Table { even, odd, legs: HashMap::new() }) }
    }

    /// Gives the leg a socket on a free port, or says which port it has.
    pub(crate) fn open(&self, key: MediaKey) -> Result<Opened, MediaError> {
        let mut table = self.table();
        if let Some(port) = table.legs.get(&key) {
            return Ok(Opened::Already(*port));
        }
        // Ports that others use wait aside, or the first of them would be tried again and again.
        let mut stepped_over = Vec::new();
        let opened = self.open_next(&mut table, &mut stepped_over);
        stepped_over.into_iter().for_each(|port| table.free(port));
        let (port, socket) = opened?;
        table.legs.insert(key, port);
        Ok(Opened::Fresh(port, socket))
    }

    /// Forgets the leg; its port stays taken until [`Ports::release`]. False: it had none.
    pub(crate) fn forget(&self, key: MediaKey) -> bool {
        self.table().legs.remove(&key).is_some()
    }

    /// The socket on this port is closed.
    pub(crate) fn release(&self, port: u16) {
        self.table().free(port);
    }

    /// How many legs are open.
    pub(crate) fn open_legs(&self) -> usize {
        self.table().legs.len()
    }

    fn open_next(&self, table: &mut Table, stepped_over: &mut Vec<u16>) -> Result<(u16, UdpSocket), MediaError> {
        while stepped_over.len() < BIND_ATTEMPTS_MAX
            && let Some(port) = table.even.pop_front().or_else(|| table.odd.pop_front())
        {
            match self.bind(port) {
                Ok(socket) => return Ok((port, socket)),
                Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => stepped_over.push(port),
                Err(source) => {
                    table.free(port);
                    let none_left = matches!(source.raw_os_error(), Some(EMFILE | ENFILE));
                    let address = SocketAddr::new(self.ip, port);
                    return Err(if none_left { MediaError::OpenFiles } else { MediaError::Socket { address, source } });
                }
            }
        }
        Err(MediaError::NoPort)
    }

    fn bind(&self, port: u16) -> std::io::Result<UdpSocket> {
        let address = SocketAddr::new(self.ip, port);
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        socket.set_recv_buffer_size(self.receive_buffer_bytes)?;
        socket.bind(&address.into())?;
        Ok(socket.into())
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // A panic elsewhere leaves the table whole: every change is one step.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn free(&mut self, port: u16) {
        if port.is_multiple_of(2) { self.even.push_back(port) } else { self.odd.push_back(port) }
    }
}

/// What the operator should know about the range on this machine.
pub(crate) fn warnings(range: &RangeInclusive<u16>) -> Vec<String> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let local = read("/proc/sys/net/ipv4/ip_local_port_range");
    let reserved = read("/proc/sys/net/ipv4/ip_local_reserved_ports");
    let limits = read("/proc/self/limits");
    [ephemeral_warning(range, &local, &reserved), files_warning(range, &limits)].into_iter().flatten().collect()
}

fn ephemeral_warning(range: &RangeInclusive<u16>, local: &str, reserved: &str) -> Option<String> {
    let mut bounds = local.split_whitespace().map(str::parse::<u16>);
    let (Some(Ok(low)), Some(Ok(high))) = (bounds.next(), bounds.next()) else { return None };
    let reserved: Vec<RangeInclusive<u16>> = reserved.trim().split(',').filter_map(parse_range).collect();
    let exposed = range
        .clone()
        .filter(|port| (low..=high).contains(port) && !reserved.iter().any(|reserved| reserved.contains(port)));
    let exposed = exposed.count();
    (exposed > 0).then(|| {
        format!(
            "{exposed} RTP ports of {}-{} lie in the kernel's own range {low}-{high} and any program may be given them: \
             choose others, or set net.ipv4.ip_local_reserved_ports={}-{}",
            range.start(),
            range.end(),
            range.start(),
            range.end()
        )
    })
}

fn parse_range(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some(first.trim().parse().ok()?..=last.trim().parse().ok()?)
}

fn files_warning(range: &RangeInclusive<u16>, limits: &str) -> Option<String> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let soft: usize = line.split_whitespace().next()?.parse().ok()?;
    let ports = range.clone().count();
    (soft < ports + FILES_BESIDE_RTP).then(|| {
        format!(
            "the open files limit of {soft} allows about {} of the {ports} RTP ports to be open at once: raise it to {} or more",
            soft.saturating_sub(FILES_BESIDE_RTP),
            ports + FILES_BESIDE_RTP
        )
    })
}

/// Files that the process needs for other things: SIP connections, links, logs.
const FILES_BESIDE_RTP: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_inside_the_kernel_s_own_is_warned_of_unless_reserved() {
        let local = "32768\t60999\n";
        assert_eq!(ephemeral_warning(&(10_000..=20_000), local, "\n"), None);
        let warning = ephemeral_warning(&(32_000..=33_000), local, "\n").expect("a warning");
        assert!(warning.contains("233 RTP ports") && warning.contains("32768-60999"), "{warning}");
        assert_eq!(ephemeral_warning(&(40_000..=41_000), local, "8080,40000-41000\n"), None);
        assert!(ephemeral_warning(&(40_000..=41_001), local, "8080,40000-41000\n").is_some());
        assert_eq!(ephemeral_warning(&(40_000..=41_000), "", ""), None);
    }

    #[test]
    fn too_few_open_files_are_warned_of() {
        let limits =
            "Limit  Soft  Hard  Units\nMax open files            20000                20000                files\n";
        assert_eq!(files_warning(&(10_000..=19_999), limits), None);
        assert!(files_warning(&(10_000..=39_999), limits).is_some_and(|warning| warning.contains("19744")));
    }
}
