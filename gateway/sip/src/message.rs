//! The one door in: bytes become a `Request` or a `Response` here, and after that nobody parses them again.
//! The parser is `sipx-sip`'s; its types do not leave this file and `uri.rs`. Never decides anything but well-formedness.

use bytes::Bytes;
use sipx_sip::headers::{Address, CSeq, CallId, From, MaxForwards, To, Via};
use sipx_sip::{HeaderName, Headers, Message, parse_datagram};

use crate::config::Limits;
use crate::echo::Echo;
use crate::raw;
use crate::types::Flow;
use crate::uri::Uri;

/// A request method, sorted by what we do with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Method {
    Invite,
    Ack,
    Bye,
    Cancel,
    Register,
    Options,
    Info,
    Update,
    /// Defined somewhere, not served here: 405.
    Unserved,
    /// Never heard of: 501.
    Unknown,
    // At the end: the numbers of methods are in keys that all gateways derive alike.
    Refer,
    Notify,
    Prack,
}

impl Method {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Invite => "INVITE",
            Self::Ack => "ACK",
            Self::Bye => "BYE",
            Self::Cancel => "CANCEL",
            Self::Register => "REGISTER",
            Self::Options => "OPTIONS",
            Self::Info => "INFO",
            Self::Update => "UPDATE",
            Self::Refer => "REFER",
            Self::Notify => "NOTIFY",
            Self::Prack => "PRACK",
            Self::Unserved | Self::Unknown => "",
        }
    }

    fn from_wire(method: &sipx_sip::Method) -> Self {
        use sipx_sip::Method as Wire;
        match method {
            Wire::Invite => Self::Invite,
            Wire::Ack => Self::Ack,
            Wire::Bye => Self::Bye,
            Wire::Cancel => Self::Cancel,
            Wire::Register => Self::Register,
            Wire::Options => Self::Options,
            Wire::Info => Self::Info,
            Wire::Update => Self::Update,
            Wire::Refer => Self::Refer,
            Wire::Notify => Self::Notify,
            Wire::Prack => Self::Prack,
            Wire::Other(_) => Self::Unknown,
            _ => Self::Unserved,
        }
    }
}

/// A header field that we read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    Allow,
    AssertedIdentity,
    Authorization,
    Contact,
    ContentEncoding,
    ContentType,
    Expires,
    MinExpires,
    MinSe,
    Privacy,
    ProxyAuthenticate,
    RAck,
    RSeq,
    RecordRoute,
    ReferSub,
    ReferTo,
    ReferredBy,
    Require,
    SessionExpires,
    Supported,
    Via,
    WwwAuthenticate,
}

impl Field {
    fn wire(self) -> HeaderName {
        match self {
            Self::Contact => HeaderName::Contact,
            Self::ContentType => HeaderName::ContentType,
            Self::RecordRoute => HeaderName::RecordRoute,
            Self::Require => HeaderName::Require,
            Self::SessionExpires => HeaderName::SessionExpires,
            Self::Supported => HeaderName::Supported,
            Self::Via => HeaderName::Via,
            other => HeaderName::parse(&Bytes::from_static(other.name().as_bytes())),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Allow => "Allow",
            Self::AssertedIdentity => "P-Asserted-Identity",
            Self::Authorization => "Authorization",
            Self::Contact => "Contact",
            Self::ContentEncoding => "Content-Encoding",
            Self::ContentType => "Content-Type",
            Self::Expires => "Expires",
            Self::MinExpires => "Min-Expires",
            Self::MinSe => "Min-SE",
            Self::Privacy => "Privacy",
            Self::ProxyAuthenticate => "Proxy-Authenticate",
            Self::RAck => "RAck",
            Self::RSeq => "RSeq",
            Self::RecordRoute => "Record-Route",
            Self::ReferSub => "Refer-Sub",
            Self::ReferTo => "Refer-To",
            Self::ReferredBy => "Referred-By",
            Self::Require => "Require",
            Self::SessionExpires => "Session-Expires",
            Self::Supported => "Supported",
            Self::Via => "Via",
            Self::WwwAuthenticate => "WWW-Authenticate",
        }
    }
}

/// The header fields of a message.
#[derive(Debug)]
pub(crate) struct Fields(Headers);

impl Fields {
    /// The first value of a field, unfolded.
    pub(crate) fn first(&self, field: Field) -> Option<String> {
        self.0.value(&field.wire()).map(|value| String::from_utf8_lossy(&value).into_owned())
    }

    /// All values of a list field, split at commas outside quotes and brackets.
    pub(crate) fn list(&self, field: Field) -> Vec<String> {
        let mut all = Vec::new();
        for header in self.0.get_all(&field.wire()) {
            let value = header.value();
            all.extend(raw::split_list(&value).map(|part| String::from_utf8_lossy(part).into_owned()));
        }
        all
    }

    /// The values of a field line by line, unfolded; for those whose commas separate parameters (challenges).
    pub(crate) fn lines(&self, field: Field) -> Vec<String> {
        self.0.get_all(&field.wire()).map(|header| String::from_utf8_lossy(&header.value()).into_owned()).collect()
    }

    /// How often a field is there.
    pub(crate) fn count(&self, field: Field) -> usize {
        self.0.count(&field.wire())
    }

    /// Whether a list of tokens holds this one.
    pub(crate) fn lists(&self, field: Field, token: &str) -> bool {
        self.0
            .get_all(&field.wire())
            .any(|header| raw::split_list(&header.value()).any(|part| part.eq_ignore_ascii_case(token.as_bytes())))
    }
}

/// A name and address with its header parameters.
#[derive(Debug, Clone)]
pub(crate) struct Party {
    pub(crate) name: String,
    pub(crate) uri: Uri,
    pub(crate) tag: Bytes,
    /// The whole value as it came, unfolded.
    pub(crate) value: Bytes,
}

/// A well-formed request.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) from: Party,
    pub(crate) to: Party,
    pub(crate) call_id: Bytes,
    pub(crate) cseq: u32,
    pub(crate) max_forwards: u8,
    /// Branch, host and port of the top Via.
    pub(crate) branch: Bytes,
    pub(crate) sent_by: String,
    pub(crate) fields: Fields,
    pub(crate) body: Bytes,
    /// What every response repeats.
    pub(crate) echo: Echo,
}

/// A well-formed response to something of ours.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) branch: Bytes,
    pub(crate) method: Method,
    pub(crate) cseq: u32,
    pub(crate) call_id: Bytes,
    /// The From value as it came, and its tag.
    pub(crate) from: Bytes,
    pub(crate) from_tag: Bytes,
    /// The To value as it came, and its tag.
    pub(crate) to: Bytes,
    pub(crate) to_tag: Bytes,
    pub(crate) fields: Fields,
    pub(crate) body: Bytes,
}

/// What bytes turned out to be.
#[derive(Debug)]
pub(crate) enum Parsed {
    Request(Box<Request>),
    Response(Box<Response>),
    /// A request that is not well formed but can be answered.
    Refused {
        echo: Echo,
        status: u16,
    },
    /// Nothing that may be answered: not SIP, a broken response, a broken ACK, no Via.
    Noise,
}

/// Reads one message.
pub(crate) fn parse(bytes: &[u8], flow: Flow, limits: &Limits) -> Parsed {
    let bounds = sipx_sip::Limits {
        max_message_bytes: limits.message_bytes_max,
        max_body_bytes: limits.message_bytes_max,
        max_headers: limits.headers_max,
        max_header_bytes: limits.header_bytes_max,
        ..sipx_sip::Limits::datagram()
    };
    match parse_datagram(Bytes::copy_from_slice(bytes), &bounds) {
        Ok(Message::Request(request)) => read_request(bytes, request, flow, limits),
        Ok(Message::Response(response)) => {
            read_response(response).map_or(Parsed::Noise, |response| Parsed::Response(Box::new(response)))
        }
        Err(error) => {
            let limit = matches!(error, sipx_sip::error::ParseError::Limit { .. });
            refuse(bytes, flow, limits, if limit { 513 } else { 400 })
        }
    }
}

/// A refusal as far as the message can be answered at all.
fn refuse(bytes: &[u8], flow: Flow, limits: &Limits, status: u16) -> Parsed {
    // RFC 3261 17.1.1.3, 8.2.6: an ACK is never answered, a response never, and without Via there is nowhere to go.
    if !looks_like_request(bytes) || bytes.starts_with(b"ACK ") {
        return Parsed::Noise;
    }
    match Echo::salvage(bytes, flow, limits) {
        Some(echo) => Parsed::Refused { echo, status },
        None => Parsed::Noise,
    }
}

/// `TOKEN something SIP/x`: enough to believe that somebody waits for an answer.
fn looks_like_request(bytes: &[u8]) -> bool {
    let line = bytes.split(|&b| b == b'\r' || b == b'\n').next().unwrap_or_default().trim_ascii_end();
    let method = line.split(|&b| b == b' ').next().unwrap_or_default();
    let version = line.rsplit(|&b| b == b' ').next().unwrap_or_default();
    let token = !method.is_empty() && method.len() <= 64 && method.iter().all(|b| raw::is_token(*b));
    token && version.len() >= 4 && version[..4].eq_ignore_ascii_case(b"SIP/") && !line.starts_with(b"SIP/")
}

fn read_request(bytes: &[u8], request: sipx_sip::Request, flow: Flow, limits: &Limits) -> Parsed {
    if !request.version.is_supported() {
        return refuse(bytes, flow, limits, 505);
    }
    let method = Method::from_wire(&request.method);
    let lifted = lift(&request, flow, limits);
    match lifted {
        Some(parts) => Parsed::Request(Box::new(Request {
            method,
            uri: Uri::from_wire(&request.uri),
            from: parts.from,
            to: parts.to,
            call_id: parts.call_id,
            cseq: parts.cseq,
            max_forwards: parts.max_forwards,
            branch: parts.branch,
            sent_by: parts.sent_by,
            body: request.body().clone(),
            fields: Fields(request.headers),
            echo: parts.echo,
        })),
        None => refuse(bytes, flow, limits, 400),
    }
}

struct Parts {
    from: Party,
    to: Party,
    call_id: Bytes,
    cseq: u32,
    max_forwards: u8,
    branch: Bytes,
    sent_by: String,
    echo: Echo,
}

/// RFC 3261 8.1.1: the fields every request must have, each once and well formed.
fn lift(request: &sipx_sip::Request, flow: Flow, limits: &Limits) -> Option<Parts> {
    let headers = &request.headers;
    let once = [HeaderName::To, HeaderName::From, HeaderName::CallId, HeaderName::CSeq, HeaderName::MaxForwards];
    // RFC 3261 19.1.1: a Request-URI has no header components.
    if request.uri.has_headers() || once.iter().any(|name| headers.count(name) > 1) {
        return None;
    }
    let cseq = headers.typed::<CSeq>()?.ok()?;
    if cseq.method != request.method {
        return None;
    }
    // An absent Max-Forwards is tolerated (RFC 3261 16.3 step 3), a broken one is not.
    let max_forwards = headers.typed::<MaxForwards>().transpose().ok()?.map_or(70, |max| max.0);
    let via = headers.typed::<Via>()?.ok()?;
    if !via.protocol.eq_ignore_ascii_case(b"SIP") || headers.count(&HeaderName::Via) > limits.vias_max {
        return None;
    }
    let from = party(headers.value(&HeaderName::From)?.as_ref(), &headers.typed::<From>()?.ok()?.0);
    let to = party(headers.value(&HeaderName::To)?.as_ref(), &headers.typed::<To>()?.ok()?.0);
    let call_id = Bytes::from(headers.typed::<CallId>()?.ok()?.0);
    let echo = Echo::from_headers(headers, flow)?;
    Some(Parts {
        from,
        to,
        call_id,
        cseq: cseq.sequence,
        max_forwards,
        branch: Bytes::copy_from_slice(via.branch().unwrap_or_default()),
        sent_by: format!("{}:{}", via.host, via.port.unwrap_or(5060)).to_ascii_lowercase(),
        echo,
    })
}

fn party(value: &[u8], address: &Address) -> Party {
    let tag = Bytes::copy_from_slice(address.tag().unwrap_or_default());
    let name = address.display_name.as_deref().map(String::from_utf8_lossy).unwrap_or_default().into_owned();
    Party { name, uri: Uri::from_wire(&address.uri), tag, value: Bytes::copy_from_slice(value) }
}

fn read_response(response: sipx_sip::Response) -> Option<Response> {
    let headers = &response.headers;
    // RFC 3261 18.1.2, 8.1.3.3: a response to us has one Via, ours; more than one was not meant for us.
    if !response.version.is_supported() || headers.count(&HeaderName::Via) != 1 {
        return None;
    }
    let via = headers.typed::<Via>()?.ok()?;
    let cseq = headers.typed::<CSeq>()?.ok()?;
    let to = headers.typed::<To>()?.ok()?;
    Some(Response {
        status: response.status.code(),
        branch: Bytes::copy_from_slice(via.branch()?),
        method: Method::from_wire(&cseq.method),
        cseq: cseq.sequence,
        call_id: Bytes::from(headers.typed::<CallId>()?.ok()?.0),
        from_tag: Bytes::copy_from_slice(headers.typed::<From>()?.ok()?.0.tag().unwrap_or_default()),
        from: Bytes::copy_from_slice(headers.value(&HeaderName::From)?.as_ref()),
        to_tag: Bytes::copy_from_slice(to.tag().unwrap_or_default()),
        to: Bytes::copy_from_slice(headers.value(&HeaderName::To)?.as_ref()),
        body: response.body().clone(),
        fields: Fields(response.headers),
    })
}
