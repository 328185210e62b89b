//! The UDP port: big buffers, many datagrams for one waking, and ICMP errors heard. Parses nothing.

use std::{
    io::{self, IoSliceMut},
    net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket as StdSocket},
    os::fd::AsRawFd as _,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use nix::sys::{
    socket::{self, ControlMessageOwned, MsgFlags, SockaddrLike as _, SockaddrStorage, sockopt},
    time::TimeSpec,
};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::{io::Interest, net::UdpSocket};

const BUFFER_BYTES: usize = 4 << 20;
/// ICMP errors read in one go; a flood of them waits.
const FAILURES_MAX: usize = 32;

/// Binds a socket as `UdpPort` wants it.
pub(crate) fn bind(address: SocketAddr) -> io::Result<StdSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    // The system may grant less; it says so only when asked.
    socket.set_recv_buffer_size(BUFFER_BYTES)?;
    socket.set_send_buffer_size(BUFFER_BYTES)?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
        socket::setsockopt(&socket, sockopt::Ipv6RecvErr, &true)?;
    } else {
        socket::setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?;
    }
    // So that what waited in the buffer is known to have waited.
    socket::setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// What datagrams are read into.
#[derive(Default)]
pub(crate) struct Inbox {
    bytes: Vec<u8>,
    control: Vec<u8>,
}

impl Inbox {
    /// For datagrams up to this length.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes: vec![0; bytes_max], control: nix::cmsg_space!(TimeSpec) }
    }

    /// The datagram that was read last.
    pub(crate) fn datagram(&self, length: usize) -> &[u8] {
        &self.bytes[..length.min(self.bytes.len())]
    }
}

/// Where a datagram came from, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received {
    pub(crate) length: usize,
    pub(crate) from: SocketAddr,
    /// When the kernel had it.
    pub(crate) arrived: Instant,
}

/// The port that all lanes send from and one lane reads.
pub(crate) struct UdpPort {
    socket: UdpSocket,
    v6: bool,
}

impl UdpPort {
    /// Must be called within the runtime of the lane that reads.
    pub(crate) fn new(socket: StdSocket) -> io::Result<Self> {
        let v6 = socket.local_addr()?.is_ipv6();
        Ok(Self { socket: UdpSocket::from_std(socket)?, v6 })
    }

    /// Waits until there is something to read.
    pub(crate) async fn ready(&self) -> io::Result<()> {
        self.socket.ready(Interest::READABLE | Interest::ERROR).await.map(drop)
    }

    /// The next datagram; `None` when there is none.
    pub(crate) fn receive(&self, inbox: &mut Inbox) -> Option<Received> {
        for _ in 0..FAILURES_MAX {
            match self.socket.try_io(Interest::READABLE, || self.read(inbox)) {
                Ok(Some(received)) => return Some(received),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                // An ICMP error of an earlier datagram; `failures` tells whose. Reading it has cleared it.
                Ok(None) | Err(_) => {}
            }
        }
        None
    }

    fn read(&self, inbox: &mut Inbox) -> io::Result<Option<Received>> {
        let mut slices = [IoSliceMut::new(&mut inbox.bytes)];
        let (control, flags) = (Some(inbox.control.as_mut_slice()), MsgFlags::MSG_DONTWAIT);
        let message = socket::recvmsg::<SockaddrStorage>(self.socket.as_raw_fd(), &mut slices, control, flags)?;
        let stamps = message.cmsgs().into_iter().flatten();
        let waited = stamps.filter_map(|it| match it {
            ControlMessageOwned::ScmTimestampns(at) => Some(since(at)),
            _ => None,
        });
        let now = Instant::now();
        let arrived = waited.max().and_then(|waited| now.checked_sub(waited)).unwrap_or(now);
        let from = message.address.as_ref().and_then(address_of);
        Ok(from.map(|from| Received { length: message.bytes, from, arrived }))
    }

    /// Sends, or loses the datagram as the network may; false when it was lost here.
    pub(crate) fn send(&self, bytes: &[u8], to: SocketAddr) -> bool {
        let to = match to.ip() {
            IpAddr::V4(v4) if self.v6 => SocketAddr::new(v4.to_ipv6_mapped().into(), to.port()),
            IpAddr::V4(_) | IpAddr::V6(_) => to,
        };
        // Not through the runtime: it would have to have seen that the socket is writable, on the thread that reads.
        let (socket, to) = (SockRef::from(&self.socket), to.into());
        match socket.send_to(bytes, &to) {
            Ok(_) => true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            // The kernel reports an earlier datagram's ICMP error on the next send, and does not send: once more.
            Err(_) => socket.send_to(bytes, &to).is_ok(),
        }
    }

    /// To whom datagrams could not be delivered, as ICMP says.
    pub(crate) fn failures(&self) -> Vec<SocketAddr> {
        let mut failed = Vec::new();
        while failed.len() < FAILURES_MAX {
            match self.socket.try_io(Interest::ERROR, || self.read_error()) {
                Ok(address) => failed.extend(address.filter(|address| !failed.contains(address))),
                Err(_) => break,
            }
        }
        failed
    }

    /// ip(7), IP_RECVERR: the error queue gives back the datagram with the address it was for.
    fn read_error(&self) -> io::Result<Option<SocketAddr>> {
        let mut head = [0; 16];
        let mut slices = [IoSliceMut::new(&mut head)];
        let mut control = nix::cmsg_space!([u8; 128]);
        let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
        let message =
            socket::recvmsg::<SockaddrStorage>(self.socket.as_raw_fd(), &mut slices, Some(&mut control), flags)?;
        Ok(message.address.as_ref().and_then(address_of))
    }
}

/// How long ago that was; a clock that was set back says: just now.
fn since(at: TimeSpec) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(Duration::from(at))
}

fn address_of(address: &SockaddrStorage) -> Option<SocketAddr> {
    address.family()?;
    let address = address
        .as_sockaddr_in()
        .map(|v4| SocketAddr::from(SocketAddrV4::from(*v4)))
        .or_else(|| address.as_sockaddr_in6().map(|v6| SocketAddr::from(SocketAddrV6::from(*v6))))?;
    Some(SocketAddr::new(address.ip().to_canonical(), address.port()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn what_waited_in_the_kernel_is_known_to_have_waited() {
        let port = UdpPort::new(bind("127.0.0.1:0".parse().unwrap()).unwrap()).unwrap();
        let far = StdSocket::bind("127.0.0.1:0").unwrap();
        let to = port.socket.local_addr().unwrap();
        let mut inbox = Inbox::new(16);
        // The kernel begins to write down times a little after it was asked to.
        for _ in 0..50 {
            let before = Instant::now();
            far.send_to(b"hello", to).unwrap();
            tokio::time::sleep(Duration::from_millis(30)).await;
            port.ready().await.unwrap();
            let received = port.receive(&mut inbox).unwrap();
            let datagram = (inbox.datagram(received.length), received.from);
            assert_eq!(datagram, (b"hello".as_slice(), far.local_addr().unwrap()));
            let waited = received.arrived.elapsed();
            assert!(waited <= before.elapsed() + Duration::from_millis(5), "{waited:?}");
            if waited >= Duration::from_millis(25) {
                return;
            }
        }
        panic!("no wait was seen");
    }

    #[tokio::test]
    async fn a_far_end_that_is_not_there_is_noticed_at_once_and_the_next_datagram_still_leaves() {
        let port = UdpPort::new(bind("127.0.0.1:0".parse().unwrap()).unwrap()).unwrap();
        let nobody = StdSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let somebody = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        assert!(port.send(b"hello", nobody));
        let failed = tokio::time::timeout(Duration::from_secs(2), async {
            loop {
                port.ready().await.unwrap();
                let failed = port.failures();
                if !failed.is_empty() {
                    return failed;
                }
                let _ = port.receive(&mut Inbox::new(16));
            }
        });
        assert_eq!(failed.await.unwrap(), [nobody]);
        assert!(port.send(b"hello", nobody));
        assert!(port.send(b"to you", somebody.local_addr().unwrap()));
        let mut buffer = [0; 16];
        let received = tokio::time::timeout(Duration::from_secs(2), somebody.recv(&mut buffer)).await.unwrap();
        assert_eq!(&buffer[..received.unwrap()], b"to you");
    }
}
