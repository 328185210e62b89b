//! The node's part of each call's trace: `commit` and `apply`, told after the fact. Off unless an OTLP endpoint is
//! given; then it costs nothing. Never names a caller or a number.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::{
    Context, KeyValue,
    trace::{
        Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, TraceContextExt as _, TraceFlags, TraceId, TraceState,
        Tracer as _, TracerProvider as _,
    },
};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{SdkTracer, SdkTracerProvider},
};

use crate::core::SpanFact;

/// The exporter's last chance at the end of the process.
const FLUSH_MAX: Duration = Duration::from_secs(1);

/// Writes spans, or does nothing.
#[derive(Clone, Default)]
pub struct Telemetry {
    exporting: Option<(SdkTracer, SdkTracerProvider)>,
}

impl Telemetry {
    /// Begins to export; must be called within a tokio runtime when `otlp` is given.
    ///
    /// # Errors
    /// The endpoint is no URI.
    pub fn start(node: &str, otlp: Option<&str>) -> anyhow::Result<Self> {
        let Some(endpoint) = otlp else { return Ok(Self::default()) };
        let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint).build()?;
        let resource = Resource::builder()
            .with_service_name("cordboard-node")
            .with_attribute(KeyValue::new("service.instance.id", node.to_owned()))
            .build();
        let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
        Ok(Self { exporting: Some((provider.tracer("cordboard"), provider)) })
    }

    /// Spans of one burst; `now_us` is when it was over, which ends each `apply`.
    pub fn tell(&self, spans: Vec<SpanFact>, now_us: u64) {
        let Some((tracer, _)) = &self.exporting else { return };
        for fact in spans {
            let Some(parent) = parse(&fact.traceparent) else { continue };
            let end_us = if fact.name == "apply" { now_us.max(fact.to_us) } else { fact.to_us };
            let builder = SpanBuilder::from_name(fact.name)
                .with_kind(SpanKind::Server)
                .with_start_time(time(fact.from_us))
                .with_attributes([KeyValue::new("cordboard.shard", i64::from(fact.shard))]);
            tracer
                .build_with_context(builder, &Context::new().with_remote_span_context(parent))
                .end_with_timestamp(time(end_us));
        }
    }

    /// Exports what is still here. Blocks: not for an async thread.
    pub fn stop(self) {
        if let Some((_, provider)) = self.exporting
            && let Err(error) = provider.shutdown_with_timeout(FLUSH_MAX)
        {
            tracing::debug!(%error, "the last spans were not exported");
        }
    }
}

fn time(unix_us: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(unix_us)
}

/// W3C trace context, section 3.2.2: version, trace id, parent id, flags.
fn parse(traceparent: &str) -> Option<SpanContext> {
    let mut parts = traceparent.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    if version.len() != 2 || version == "ff" || trace.len() != 32 || span.len() != 16 || flags.len() != 2 {
        return None;
    }
    let context = SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(span).ok()?,
        TraceFlags::new(u8::from_str_radix(flags, 16).ok()?),
        true,
        TraceState::default(),
    );
    context.is_valid().then_some(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_trace_contexts_are_parents() {
        assert!(parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").is_some());
        for wrong in ["", "00", "00-0-0-0", "00-00000000000000000000000000000000-b7ad6b7169203331-01", "zz"] {
            assert!(parse(wrong).is_none(), "{wrong:?}");
        }
    }
}
