//! Far ends that speak SIP in literal messages, over UDP and TCP. They know no transaction: what a story says is sent.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UdpSocket},
    time::timeout,
};

use crate::PATIENCE;

/// A message that came.
#[derive(Clone, Debug)]
pub struct Message(pub String);

impl Message {
    /// The first header of this name.
    pub fn header(&self, name: &str) -> &str {
        self.headers(name).first().copied().unwrap_or_else(|| panic!("no {name} in {}", self.0))
    }

    pub fn headers(&self, name: &str) -> Vec<&str> {
        let head = self.0.split("\r\n\r\n").next().unwrap_or_default();
        head.lines()
            .filter_map(|line| line.split_once(':'))
            .filter(|(field, _)| field.trim().eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .collect()
    }

    /// The URI of the Contact.
    pub fn contact(&self) -> &str {
        self.header("Contact").split(['<', '>']).nth(1).unwrap()
    }

    /// The port of the audio in the SDP.
    pub fn audio_port(&self) -> u16 {
        let line = self.0.lines().find_map(|line| line.strip_prefix("m=audio ")).expect("an m=audio line");
        line.split(' ').next().unwrap().parse().unwrap()
    }

    /// Our response to this request.
    pub fn response(&self, status: &str, more: &str, body: &str) -> String {
        let vias: String = self.headers("Via").iter().map(|via| format!("Via: {via}\r\n")).collect();
        let to = self.header("To");
        let to = if to.contains(";tag=") { to.to_owned() } else { format!("{to};tag=phone") };
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        format!(
            "SIP/2.0 {status}\r\n{vias}From: {}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: {}\r\n{more}{kind}Content-Length: {}\r\n\r\n{body}",
            self.header("From"),
            self.header("Call-ID"),
            self.header("CSeq"),
            body.len(),
        )
    }
}

/// A far end.
pub struct Peer {
    wire: Wire,
    pub address: SocketAddr,
    pub gateway: SocketAddr,
    pub rtp: UdpSocket,
    /// The last 200 to an INVITE.
    pub last_ok: Option<Message>,
    received: Vec<u8>,
}

enum Wire {
    Udp(UdpSocket),
    Tcp(TcpStream),
}

impl Peer {
    pub async fn udp(gateway: SocketAddr) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        Self::new(Wire::Udp(socket), address, gateway).await
    }

    pub async fn tcp(gateway: SocketAddr) -> Self {
        let stream = TcpStream::connect(gateway).await.unwrap();
        let address = stream.local_addr().unwrap();
        Self::new(Wire::Tcp(stream), address, gateway).await
    }

    async fn new(wire: Wire, address: SocketAddr, gateway: SocketAddr) -> Self {
        let rtp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        Self { wire, address, gateway, rtp, last_ok: None, received: Vec::new() }
    }

    fn transport(&self) -> &'static str {
        match self.wire {
            Wire::Udp(_) => "UDP",
            Wire::Tcp(_) => "TCP",
        }
    }

    pub async fn send(&mut self, message: &str) {
        match &mut self.wire {
            Wire::Udp(socket) => drop(socket.send_to(message.as_bytes(), self.gateway).await.unwrap()),
            Wire::Tcp(stream) => stream.write_all(message.as_bytes()).await.unwrap(),
        }
    }

    async fn next(&mut self) -> Message {
        match &mut self.wire {
            Wire::Udp(socket) => {
                let mut buffer = vec![0; 65_536];
                let length = socket.recv(&mut buffer).await.unwrap();
                Message(String::from_utf8_lossy(&buffer[..length]).into_owned())
            }
            Wire::Tcp(stream) => loop {
                let text = String::from_utf8_lossy(&self.received).into_owned();
                if let Some((head, rest)) = text.split_once("\r\n\r\n") {
                    let length = Message(format!("{head}\r\n\r\n")).header("Content-Length").parse::<usize>().unwrap();
                    if rest.len() >= length {
                        let whole = head.len() + 4 + length;
                        self.received.drain(..whole);
                        return Message(text[..whole].to_owned());
                    }
                }
                let mut buffer = [0; 4096];
                let length = stream.read(&mut buffer).await.unwrap();
                assert!(length > 0, "the gateway has closed the connection");
                self.received.extend_from_slice(&buffer[..length]);
            },
        }
    }

    /// The next message whose first line begins like this; others (retransmissions, provisional answers) are passed over.
    pub async fn expect(&mut self, start: &str) -> Message {
        let waited = timeout(PATIENCE, async {
            loop {
                let message = self.next().await;
                if message.0.starts_with("SIP/2.0 200") && message.header("CSeq").ends_with("INVITE") {
                    self.last_ok = Some(message.clone());
                }
                if message.0.starts_with(start) {
                    return message;
                }
            }
        });
        waited.await.unwrap_or_else(|_| panic!("waited in vain for {start}"))
    }

    /// Nothing that begins like this comes within a short time.
    pub async fn expect_none(&mut self, start: &str, within: Duration) {
        let waited = timeout(within, async {
            loop {
                let message = self.next().await;
                if message.0.starts_with(start) {
                    return message;
                }
            }
        });
        if let Ok(message) = waited.await {
            panic!("{start} came: {}", message.0);
        }
    }

    pub fn sdp(&self) -> String {
        format!(
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {} RTP/AVP 8 0 101\r\n\
             a=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n",
            self.rtp.local_addr().unwrap().port(),
        )
    }

    fn via(&self, branch: &str) -> String {
        format!("Via: SIP/2.0/{} {};branch=z9hG4bK{branch};rport", self.transport(), self.address)
    }

    /// An INVITE for `number`; `name` makes Call-ID, tag and branch.
    pub fn invite(&self, name: &str, number: &str) -> String {
        let sdp = self.sdp();
        let (address, gateway) = (self.address, self.gateway);
        format!(
            "INVITE sip:{number}@{gateway} SIP/2.0\r\n{via}\r\nMax-Forwards: 70\r\n\
             From: \"Ann\" <sip:ann@{address}>;tag={name}\r\nTo: <sip:{number}@{gateway}>\r\nCall-ID: {name}@test\r\n\
             CSeq: 1 INVITE\r\nContact: <sip:ann@{address};transport={transport}>\r\nContent-Type: application/sdp\r\n\
             Content-Length: {length}\r\n\r\n{sdp}",
            via = self.via(&format!("inv{name}")),
            transport = self.transport().to_lowercase(),
            length = sdp.len(),
        )
    }

    /// A request within the dialog of our INVITE `name`, after its 200.
    pub fn within(&self, method: &str, cseq: u32, name: &str, ok: &Message) -> String {
        let (address, to) = (self.address, ok.header("To"));
        format!(
            "{method} {contact} SIP/2.0\r\n{via}\r\nMax-Forwards: 70\r\nFrom: \"Ann\" <sip:ann@{address}>;tag={name}\r\n\
             To: {to}\r\nCall-ID: {name}@test\r\nCSeq: {cseq} {method}\r\nContent-Length: 0\r\n\r\n",
            contact = ok.contact(),
            via = self.via(&format!("{method}{cseq}{name}")),
        )
    }

    /// The CANCEL of our INVITE.
    pub fn cancel(&self, name: &str, number: &str) -> String {
        let (address, gateway) = (self.address, self.gateway);
        format!(
            "CANCEL sip:{number}@{gateway} SIP/2.0\r\n{via}\r\nMax-Forwards: 70\r\n\
             From: \"Ann\" <sip:ann@{address}>;tag={name}\r\nTo: <sip:{number}@{gateway}>\r\nCall-ID: {name}@test\r\n\
             CSeq: 1 CANCEL\r\nContent-Length: 0\r\n\r\n",
            via = self.via(&format!("inv{name}")),
        )
    }

    /// The ACK of a final refusal.
    pub fn ack_refusal(&self, name: &str, number: &str, refusal: &Message) -> String {
        let (address, gateway) = (self.address, self.gateway);
        format!(
            "ACK sip:{number}@{gateway} SIP/2.0\r\n{via}\r\nMax-Forwards: 70\r\n\
             From: \"Ann\" <sip:ann@{address}>;tag={name}\r\nTo: {to}\r\nCall-ID: {name}@test\r\n\
             CSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n",
            via = self.via(&format!("inv{name}")),
            to = refusal.header("To"),
        )
    }

    /// A REGISTER of `agent`.
    pub fn register(&self, agent: &str, cseq: u32, authorization: &str) -> String {
        let (address, gateway) = (self.address, self.gateway);
        format!(
            "REGISTER sip:{gateway} SIP/2.0\r\n{via}\r\nMax-Forwards: 70\r\nFrom: <sip:{agent}@{gateway}>;tag=r\r\n\
             To: <sip:{agent}@{gateway}>\r\nCall-ID: reg-{agent}@test\r\nCSeq: {cseq} REGISTER\r\n\
             Contact: <sip:{agent}@{address}>\r\nExpires: 300\r\n{authorization}Content-Length: 0\r\n\r\n",
            via = self.via(&format!("reg{cseq}")),
        )
    }
}
