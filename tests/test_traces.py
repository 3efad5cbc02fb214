"""Traces leave the process: a collector receives one trace from a call to all that followed from it, and nothing personal."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

import plan_tracker.app
import roster.app
from contracts.roster import OPEN_SCHOOL, OpenSchool
from eventkit import otlp, telemetry
from eventkit.harness import running

NAME = "Школа имени Ломоносова"


class Collector(ThreadingHTTPServer):
    """Takes in what is posted to /v1/traces."""

    def __init__(self) -> None:
        self.received: list[ExportTraceServiceRequest] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def spans(self) -> list[Span]:
        return [span for request in self.received for of in request.resource_spans for scope in of.scope_spans for span in scope.spans]


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Collector)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/v1/traces":
            self.server.received.append(ExportTraceServiceRequest.FromString(body))
        self.send_response(200 if self.path == "/v1/traces" else 404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """It has nothing to say."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector, ThreadPoolExecutor(1) as threads:
        threads.submit(collector.serve_forever, 0.05)
        yield collector
        collector.shutdown()


async def test_a_collector_receives_one_trace_from_the_call_over_record_and_relay_to_the_projection(
    tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(otlp.ENDPOINT, collector.url)
    sending = otlp.processor(os.environ)
    assert sending is not None
    telemetry.set_up(service="roster", processor=sending)
    try:
        async with running(tmp_path, {"roster": roster.app.build, "plan": plan_tracker.app.build}) as system:
            await system.call(OPEN_SCHOOL, OpenSchool(school="school-7", name=NAME, municipality="mytishchi"))
            await system.settled()
        with trace.get_tracer("a library").start_as_current_span("query", attributes={"statement": NAME}):
            pass
    finally:
        sending.shutdown()  # sends what is left, too
    spans = collector.spans()
    (called,) = [span for span in spans if span.name == "call roster.open-school"]
    mine = [span for span in spans if span.trace_id == called.trace_id]
    names = {span.name for span in mine}
    assert {"roster.open-school", "record", "relay"} <= names
    assert "project board" in names
    (answered,) = [span for span in mine if span.name == "roster.open-school"]
    assert answered.parent_span_id == called.span_id
    assert {span.parent_span_id for span in mine if span is not called and span is not answered} == {answered.span_id}
    assert all(span.start_time_unix_nano <= span.end_time_unix_nano for span in mine)
    assert {key.key for span in spans for key in span.attributes} <= {"service", "source", "position"}
    assert NAME not in str(collector.received)
    assert "query" not in {span.name for span in spans}


def test_without_a_collector_nothing_is_sent() -> None:
    assert otlp.processor({}) is None
    assert otlp.processor({otlp.ENDPOINT: ""}) is None
