//! A real OTLP receiver: the collector's gRPC trace service, which keeps every span it is sent.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::{KeyValue, any_value::Value},
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// A span, reduced to what is compared.
#[derive(Clone, Debug)]
pub struct Seen {
    /// `service.name` of its sender.
    pub service: String,
    /// `service.instance.id` of its sender.
    pub instance: String,
    /// The span's name.
    pub name: String,
    /// Trace id, hexadecimal.
    pub trace: String,
    /// Span id, hexadecimal.
    pub span: String,
    /// The parent's span id, empty for a root.
    pub parent: String,
    /// Start and end, Unix nanoseconds.
    pub from_to: (u64, u64),
    /// Keys and values, resource and span together, as text.
    pub attributes: Vec<(String, String)>,
}

type Kept = Arc<Mutex<Vec<Seen>>>;

/// Listens while it lives.
#[derive(Debug)]
pub struct Receiver {
    /// To be given as `--otlp`.
    pub endpoint: String,
    spans: Kept,
    _runtime: tokio::runtime::Runtime,
}

struct Service(Kept);

impl Receiver {
    /// Begins to listen on loopback.
    ///
    /// # Errors
    /// The port is taken.
    pub fn start(port: u16) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listener = runtime.block_on(tokio::net::TcpListener::bind(address))?;
        let spans = Kept::default();
        let service = TraceServiceServer::new(Service(Arc::clone(&spans)));
        runtime.spawn(
            tonic::transport::Server::builder()
                .add_service(service)
                .serve_with_incoming(TcpListenerStream::new(listener)),
        );
        Ok(Self { endpoint: format!("http://{address}"), spans, _runtime: runtime })
    }

    /// All spans until now.
    #[must_use]
    pub fn spans(&self) -> Vec<Seen> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[tonic::async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for resource in request.into_inner().resource_spans {
            let about = texts(resource.resource.map(|resource| resource.attributes).unwrap_or_default());
            let value = |key: &str| {
                about.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone()).unwrap_or_default()
            };
            let (service, instance) = (value("service.name"), value("service.instance.id"));
            for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                let mut attributes = about.clone();
                attributes.extend(texts(span.attributes));
                kept.push(Seen {
                    service: service.clone(),
                    instance: instance.clone(),
                    name: span.name,
                    trace: hex(&span.trace_id),
                    span: hex(&span.span_id),
                    parent: hex(&span.parent_span_id),
                    from_to: (span.start_time_unix_nano, span.end_time_unix_nano),
                    attributes,
                });
            }
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn texts(attributes: Vec<KeyValue>) -> Vec<(String, String)> {
    let text = |value: Option<Value>| match value {
        Some(Value::StringValue(text)) => text,
        other => format!("{other:?}"),
    };
    attributes.into_iter().map(|pair| (pair.key, text(pair.value.and_then(|value| value.value)))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
