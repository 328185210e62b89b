//! SIP over WebSockets (RFC 7118): a message is a frame. Nobody can be connected to from here.

use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, sleep_until, timeout},
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async_with_config,
    tungstenite::{
        Error, Message,
        handshake::server::{ErrorResponse, Request, Response},
        http::{HeaderMap, HeaderValue, StatusCode, header},
        protocol::WebSocketConfig,
    },
};

use crate::tcp::connection::{Close, Connection};

/// RFC 7118 4.1: the subprotocol that both must name.
const SUBPROTOCOL: &str = "sip";

/// Until either side ends it.
pub(crate) async fn run<S>(connection: &Connection, stream: S) -> Close
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let limits = &connection.config.limits;
    let largest = Some(limits.message_bytes_max);
    let config = WebSocketConfig::default().max_message_size(largest).max_frame_size(largest);
    let origins = connection.config.ws_origins.clone();
    // The answer's type is the library's.
    #[allow(clippy::result_large_err)]
    let welcome = move |request: &Request, response: Response| welcome(&origins, request.headers(), response);
    let shaking = accept_hdr_async_with_config(stream, welcome, Some(config));
    match timeout(Duration::from_millis(limits.handshake_ms_max), shaking).await {
        Ok(Ok(socket)) => talk(connection, socket).await,
        Ok(Err(_)) | Err(_) => Close::Handshake,
    }
}

async fn talk<S>(connection: &Connection, mut socket: WebSocketStream<S>) -> Close
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let limits = &connection.config.limits;
    let ping_every = Duration::from_millis(limits.ws_ping_ms);
    let mut queue = connection.queue.lock().await;
    let (first_until, mut is_first) = (Instant::now() + Duration::from_millis(limits.first_message_ms_max), true);
    let (mut next_ping, mut heard) = (Instant::now() + ping_every, true);
    loop {
        let sent = tokio::select! {
            message = socket.next() => {
                heard = true;
                let bytes = match message {
                    Some(Ok(Message::Text(text))) => Bytes::from(text),
                    Some(Ok(Message::Binary(bytes))) => bytes,
                    Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Bytes::new(),
                    Some(Ok(Message::Close(_))) | None => return Close::Ended,
                    Some(Err(Error::Capacity(_))) => return Close::Unreadable,
                    Some(Err(_)) => return Close::Ended,
                };
                // RFC 5626 4.4.1: a double CRLF asks for a single one.
                if bytes.as_ref() == b"\r\n\r\n" {
                    write(connection, &mut socket, Message::text("\r\n")).await
                } else if !bytes.trim_ascii().is_empty() {
                    is_first = false;
                    connection.deliver(bytes).await;
                    true
                } else {
                    true
                }
            }
            bytes = queue.recv() => match bytes {
                Some(bytes) => write(connection, &mut socket, message(bytes)).await,
                None => return Close::Ended,
            },
            () = sleep_until(next_ping) => {
                if !std::mem::replace(&mut heard, false) {
                    return Close::Idle;
                }
                next_ping = Instant::now() + ping_every;
                write(connection, &mut socket, Message::Ping(Bytes::new())).await
            }
            () = sleep_until(first_until), if is_first => return Close::Slow,
        };
        if !sent {
            return Close::Unwritable;
        }
    }
}

/// RFC 7118 5: text when it is UTF-8, which SIP is.
fn message(bytes: Bytes) -> Message {
    match std::str::from_utf8(&bytes) {
        Ok(text) => Message::text(text),
        Err(_) => Message::Binary(bytes),
    }
}

async fn write<S>(connection: &Connection, socket: &mut WebSocketStream<S>, message: Message) -> bool
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let patience = Duration::from_millis(connection.config.limits.write_ms_max);
    matches!(timeout(patience, socket.send(message)).await, Ok(Ok(())))
}

/// RFC 7118 4.1: who does not speak SIP is refused; RFC 6455 10.2: so are scripts of other pages.
#[allow(clippy::result_large_err)]
fn welcome(origins: &[String], asked: &HeaderMap, mut response: Response) -> Result<Response, ErrorResponse> {
    let words = asked.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    if !words.flat_map(|value| value.split(',')).any(|word| word.trim().eq_ignore_ascii_case(SUBPROTOCOL)) {
        return Err(refusal(StatusCode::BAD_REQUEST, "the subprotocol must be sip"));
    }
    let origin = asked.get(header::ORIGIN).and_then(|value| value.to_str().ok());
    let is_known = |origin: &str| origins.iter().any(|known| known.eq_ignore_ascii_case(origin));
    // Who is no browser says no origin.
    if !origins.is_empty() && !origin.is_none_or(is_known) {
        return Err(refusal(StatusCode::FORBIDDEN, "not from this page"));
    }
    response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    Ok(response)
}

fn refusal(status: StatusCode, reason: &str) -> ErrorResponse {
    let mut response = ErrorResponse::new(Some(reason.to_owned()));
    *response.status_mut() = status;
    response
}
