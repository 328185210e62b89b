//! One OpenTelemetry trace per call, when an OTLP endpoint is configured; nothing at all otherwise.
//! Never puts a number, a name or an address of a person into a span.

use std::time::Duration;

use opentelemetry::{
    Context, KeyValue,
    trace::{
        Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags, TraceId,
        TraceState, Tracer as _, TracerProvider as _,
    },
};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{SdkTracer, SdkTracerProvider, Span},
};
use proto::v1::{Command, TraceContext, command::Kind};

use crate::link::Verdict;

/// The exporter's last chance at the end of the process.
const FLUSH_MS_MAX: u64 = 1_000;

/// Starts traces, or does nothing.
#[derive(Clone, Default)]
pub(crate) struct Tracing {
    tracer: Option<SdkTracer>,
    provider: Option<SdkTracerProvider>,
}

impl Tracing {
    /// Must be called within a tokio runtime when `otlp` is given.
    pub(crate) fn start(gateway: &str, otlp: Option<&str>) -> anyhow::Result<Self> {
        let Some(endpoint) = otlp else { return Ok(Self::default()) };
        let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint).build()?;
        let resource = Resource::builder()
            .with_service_name("cordboard-gateway")
            .with_attribute(KeyValue::new("service.instance.id", gateway.to_owned()))
            .build();
        let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
        Ok(Self { tracer: Some(provider.tracer("cordboard")), provider: Some(provider) })
    }

    /// The root span of a call, at its INVITE.
    pub(crate) fn call(&self, shard: u32, call: u64) -> Option<CallTrace> {
        let tracer = self.tracer.as_ref()?;
        let attributes = [
            KeyValue::new("cordboard.call", format!("{call:016x}")),
            KeyValue::new("cordboard.shard", i64::from(shard)),
        ];
        let builder = SpanBuilder::from_name("call").with_kind(SpanKind::Server).with_attributes(attributes);
        Some(CallTrace { span: Box::new(tracer.build_with_context(builder, &Context::new())), tracer: tracer.clone() })
    }

    /// A span for an order that was acted on, child of whatever the shard named.
    pub(crate) fn order(&self, name: &'static str, leg: u32, parent: Option<&TraceContext>) {
        let Some(tracer) = self.tracer.as_ref() else { return };
        let Some(parent) = parent.and_then(|context| parse(&context.traceparent)) else { return };
        let builder = SpanBuilder::from_name(name).with_attributes([KeyValue::new("cordboard.leg", i64::from(leg))]);
        tracer.build_with_context(builder, &Context::new().with_remote_span_context(parent)).end();
    }

    /// The parent that an order of the shard carries, for commands that follow from it.
    pub(crate) fn parent_of(&self, context: Option<&TraceContext>) -> Option<Parent> {
        let tracer = self.tracer.as_ref()?;
        Some(Parent { context: parse(&context?.traceparent)?, tracer: tracer.clone() })
    }

    /// Exports what is still here. Blocks: not for an async thread.
    pub(crate) fn stop(self) {
        if let Some(provider) = self.provider
            && let Err(error) = provider.shutdown_with_timeout(Duration::from_millis(FLUSH_MS_MAX))
        {
            tracing::debug!(%error, "the last spans were not exported");
        }
    }
}

/// The root span of one call; ends when dropped.
pub(crate) struct CallTrace {
    span: Box<Span>,
    tracer: SdkTracer,
}

impl CallTrace {
    pub(crate) fn parent(&self) -> Parent {
        Parent { context: self.span.span_context().clone(), tracer: self.tracer.clone() }
    }

    pub(crate) fn set(&mut self, key: &'static str, value: &'static str) {
        self.span.set_attribute(KeyValue::new(key, value));
    }
}

/// Under which span a command is sent.
#[derive(Clone)]
pub(crate) struct Parent {
    context: SpanContext,
    tracer: SdkTracer,
}

impl Parent {
    /// The span from the first sending of a command to its outcome.
    pub(crate) fn submitting(&self, command: &Command) -> Submitting {
        let builder = SpanBuilder::from_name("submit")
            .with_kind(SpanKind::Client)
            .with_attributes([KeyValue::new("cordboard.command", command_name(command))]);
        let parent = Context::new().with_remote_span_context(self.context.clone());
        Submitting(Box::new(self.tracer.build_with_context(builder, &parent)))
    }
}

impl std::fmt::Debug for Parent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.context.fmt(f)
    }
}

/// A command on its way.
pub(crate) struct Submitting(Box<Span>);

impl Submitting {
    /// W3C form, for the shard to go on with.
    pub(crate) fn traceparent(&self) -> String {
        let context = self.0.span_context();
        format!("00-{}-{}-{:02x}", context.trace_id(), context.span_id(), context.trace_flags().to_u8())
    }

    pub(crate) fn end(mut self, verdict: &Verdict) {
        if let Verdict::Rejected(code) = verdict {
            self.0.set_status(Status::error(code.as_str_name()));
        }
        self.0.end();
    }
}

/// <https://www.w3.org/TR/trace-context/#traceparent-header>, version 00.
fn parse(traceparent: &str) -> Option<SpanContext> {
    let mut parts = traceparent.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    if version != "00" || trace.len() != 32 || span.len() != 16 || flags.len() != 2 || parts.next().is_some() {
        return None;
    }
    let context = SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(span).ok()?,
        TraceFlags::new(u8::from_str_radix(flags, 16).ok()?),
        true,
        TraceState::NONE,
    );
    context.is_valid().then_some(context)
}

/// A command's name, for spans and metrics.
pub(crate) fn command_name(command: &Command) -> &'static str {
    match &command.kind {
        Some(Kind::OfferCall(_)) => "offer_call",
        Some(Kind::AnswerLeg(_)) => "answer_leg",
        Some(Kind::ConfirmLeg(_)) => "confirm_leg",
        Some(Kind::EndLeg(_)) => "end_leg",
        Some(Kind::PressDigits(_)) => "press_digits",
        Some(Kind::RegisterContact(_)) => "register_contact",
        Some(Kind::ReferLeg(_)) => "refer_leg",
        Some(Kind::HoldLeg(_)) => "hold_leg",
        Some(
            Kind::Configure(_)
            | Kind::AttachGateway(_)
            | Kind::LoseGateway(_)
            | Kind::ClearCall(_)
            | Kind::LogInAgent(_)
            | Kind::LogOutAgent(_)
            | Kind::MakeAgentReady(_)
            | Kind::MakeAgentNotReady(_)
            | Kind::AdvanceClock(_)
            | Kind::SetRules(_)
            | Kind::ExtendWrapUp(_)
            | Kind::PullCall(_)
            | Kind::ChooseAgents(_)
            | Kind::ChangeCall(_)
            | Kind::TransferCall(_)
            | Kind::ConsultCall(_)
            | Kind::ControlCall(_)
            | Kind::RequestCallback(_)
            | Kind::CancelCallback(_)
            | Kind::DrainGateway(_),
        )
        | Some(Kind::TakeLead(_))
        | None => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_traceparent_is_believed() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert!(parse(good).is_some_and(|context| context.is_sampled()));
        for bad in [
            "",
            "00",
            &good[1..],
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-zz-00f067aa0ba902b7-01",
        ] {
            assert!(parse(bad).is_none(), "{bad}");
        }
    }
}
