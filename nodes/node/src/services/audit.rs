//! Nothing is changed by a person before it is written down that they want it, and what came of it is written down after.
//! A layer before all services does both for every method in `changes`; the service AuditTrail shows what there is.

mod changes;
mod trail;

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::to_bytes;
use bytes::Bytes;
use proto::v1::{AuditLine, WriteAuditRequest};
use tonic::{
    Status,
    body::Body,
    codegen::http::{Request, Response},
};
use tower::{Layer, Service};
use trust::{Caller, Role};

use super::{refusals::unreached, scope::TENANT};
use crate::shards::{FROM_NODE, PASSED_ON, Shards, too_long};

pub use changes::{Change, changes};
pub use trail::AuditTrailService;

/// How long writing down may take before nothing is changed, and after.
const WAIT: Duration = Duration::from_secs(5);

/// What a handler says of what it did, when the status of its answer does not. It has no caller's number in it.
#[derive(Debug, Clone)]
pub struct Outcome(pub String);

/// Puts the writing down before a server's services; behind the guard, so that who may not is not written down.
#[derive(Clone)]
pub struct Audit {
    shards: Shards,
    bytes_max: usize,
}

impl Audit {
    /// Written by way of `shards`; `bytes_max` bounds what is read of a request.
    #[must_use]
    pub const fn new(shards: Shards, bytes_max: usize) -> Self {
        Self { shards, bytes_max }
    }
}

impl<S> Layer<S> for Audit {
    type Service = Audited<S>;

    fn layer(&self, inner: S) -> Audited<S> {
        Audited { audit: self.clone(), inner }
    }
}

/// Services whose changes are written down.
#[derive(Clone)]
pub struct Audited<S> {
    audit: Audit,
    inner: S,
}

impl<S> Service<Request<Body>> for Audited<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future =
        futures::future::Either<S::Future, Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Some(change) = changes(request.uri().path()).filter(|_| !is_passed_on(&request)) else {
            return futures::future::Either::Left(self.inner.call(request));
        };
        // The one that is ready goes with the call.
        let next = self.inner.clone();
        let ready = std::mem::replace(&mut self.inner, next);
        let audit = self.audit.clone();
        // Who asks and goes away does not keep the outcome from being written down.
        let work = tokio::spawn(async move { audit.through(change, request, ready).await });
        futures::future::Either::Right(Box::pin(async move {
            work.await.unwrap_or_else(|_| Ok(Status::internal("it broke off; the node's log says why").into_http()))
        }))
    }
}

impl Audit {
    async fn through<S>(self, change: Change, request: Request<Body>, mut inner: S) -> Result<Response<Body>, S::Error>
    where
        S: Service<Request<Body>, Response = Response<Body>>,
    {
        let (line, request) = match self.line(&change, request).await {
            Ok((Some(line), request)) => (line, request),
            Ok((None, request)) => return inner.call(request).await,
            Err(status) => return Ok(status.into_http()),
        };
        let announced = match self.write(line.clone(), 0).await {
            Ok(announced) => announced,
            Err(status) => return Ok(status.into_http()),
        };
        let answer = inner.call(request).await;
        if let Some(name) = announced {
            let outcome = answer.as_ref().map_or_else(|_| "broke off".to_owned(), outcome_of);
            if let Err(status) = self.write(AuditLine { outcome, ..line }, name).await {
                let why = status.message();
                tracing::error!(method = change.method, why, "what came of a change could not be written down");
            }
        }
        answer
    }

    /// What is to be written down, and the request as it was; None when nothing would be changed.
    async fn line(
        &self,
        change: &Change,
        request: Request<Body>,
    ) -> Result<(Option<AuditLine>, Request<Body>), Status> {
        let (parts, body) = request.into_parts();
        let (told, body) = match change.read {
            None => (Some(changes::Told::default()), body),
            Some(read) => {
                let bytes = to_bytes(axum::body::Body::new(body), self.bytes_max).await;
                let bytes = bytes.map_err(|_| Status::resource_exhausted("the request is too large or broke off"))?;
                let told = read(message(&bytes)?).map_err(|_| Status::invalid_argument("this is no such request"))?;
                (told, Body::new(axum::body::Body::from(bytes)))
            }
        };
        let caller = parts.extensions.get::<Caller>();
        let tenant = parts.headers.get(TENANT).and_then(|name| name.to_str().ok());
        let line = told.map(|told| {
            let identity = caller.and_then(|caller| caller.identity.as_ref());
            AuditLine {
                // Without certificates everybody is who they say they are.
                who: identity.map_or_else(|| said(told.by), |identity| identity.name.clone()),
                role: identity.map_or_else(|| "none".to_owned(), |identity| identity.role.to_string()),
                method: change.method.to_owned(),
                subject: match tenant {
                    Some(tenant) => format!("tenant {}, {}", changes::cut(tenant), told.subject),
                    None => told.subject,
                },
                from: caller.and_then(|caller| caller.address).map(|at| at.ip().to_string()).unwrap_or_default(),
                ..AuditLine::default()
            }
        });
        Ok((line, Request::from_parts(parts, body)))
    }

    /// The name under which it was written; None under rules that know no audit.
    async fn write(&self, line: AuditLine, of_name: u64) -> Result<Option<u64>, Status> {
        let mut name = [0; 8];
        getrandom::fill(&mut name).map_err(|_| Status::internal("the system gives no random bytes"))?;
        // 0 is no name.
        let name = u64::from_le_bytes(name).max(1);
        let method = line.method.clone();
        let request = WriteAuditRequest { line: Some(line), name, of_name };
        let written = self.shards.write_audit(request, WAIT).await.map_err(|error| {
            let why = unreached(&error);
            Status::unavailable(format!(
                "nothing was changed, for it could not be written down first: {}",
                why.message()
            ))
        })?;
        let reply = written.map_err(|rejection| too_long(&rejection))?;
        if reply.unaudited {
            tracing::warn!(
                method,
                "a change is not audited: the cluster's rules are earlier than 4; `cordctl upgrade finish`"
            );
            return Ok(None);
        }
        Ok(Some(name))
    }
}

/// Whether a node hands on what a person asked another node, which has written it down.
fn is_passed_on(request: &Request<Body>) -> bool {
    match request.extensions().get::<Caller>().filter(|caller| caller.asked) {
        Some(caller) => caller.role() == Role::Node,
        None => request.headers().contains_key(PASSED_ON) || request.headers().contains_key(FROM_NODE),
    }
}

/// The one message of a unary request: nobody here compresses (gRPC over HTTP/2, length-prefixed message).
fn message(frame: &Bytes) -> Result<&[u8], Status> {
    let head = frame.first_chunk::<5>().filter(|head| head[0] == 0);
    let length = head.map(|head| u32::from_be_bytes([head[1], head[2], head[3], head[4]]));
    let message = frame.get(5..).unwrap_or_default();
    let whole = length.is_some_and(|length| usize::try_from(length) == Ok(message.len()));
    if whole { Ok(message) } else { Err(Status::invalid_argument("this is not one uncompressed message")) }
}

fn outcome_of(answer: &Response<Body>) -> String {
    if let Some(Outcome(said)) = answer.extensions().get::<Outcome>() {
        return said.clone();
    }
    match Status::from_header_map(answer.headers()) {
        Some(status) if status.code() != tonic::Code::Ok => format!("failed: {:?}", status.code()),
        _ => "done".to_owned(),
    }
}

fn said(by: String) -> String {
    if by.is_empty() { "somebody".to_owned() } else { by }
}
