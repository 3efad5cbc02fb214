"""Spans leave the process over OTLP (HTTP, protobuf), where the standard variable OTEL_EXPORTER_OTLP_ENDPOINT names a collector.

Nobody waits for that: a thread of its own sends what stands in a bounded queue, and what finds it full is dropped. Only our own spans go
out, whose attributes have passed the allow-list; a library's might quote anything. The other variables of OpenTelemetry hold as well.
"""

from __future__ import annotations

from collections.abc import Mapping

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from eventkit.telemetry import SCOPE

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


class OwnSpans(BatchSpanProcessor):
    """Hands on what we have said ourselves."""

    def on_end(self, span: ReadableSpan) -> None:
        scope = span.instrumentation_scope
        if scope is not None and scope.name == SCOPE:
            super().on_end(span)


def processor(environment: Mapping[str, str]) -> SpanProcessor | None:
    """What sends spans to the collector that the environment names; None where it names none."""
    if not environment.get(ENDPOINT):
        return None
    # Only here: whoever sends nothing need not load an HTTP client.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OwnSpans(OTLPSpanExporter())
