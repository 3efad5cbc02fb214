"""Traces leave the process: a collector receives one trace from a call to all that followed from it, and nothing personal."""

import asyncio
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace import SpanProcessor

import plan_tracker.app
import roster.app
from contracts import consent, identity, notifier, operations, plan
from contracts.roster import HIRE_STAFF, OPEN_SCHOOL, HireStaff, OpenSchool, PersonName, Position
from eventkit import otlp, telemetry
from eventkit.harness import running
from notifier.testing import post_office
from tests.conftest import instance
from tests.school import SCHOOL
from vekha.client import Client

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


@pytest.fixture
def sending(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> SpanProcessor:
    """What carries spans to the collector, as it is set; to be shut down before one looks at what has arrived."""
    monkeypatch.setenv(otlp.ENDPOINT, collector.url)
    processor = otlp.processor(os.environ)
    assert processor is not None
    return processor


async def test_a_collector_receives_one_trace_from_the_call_over_record_and_relay_to_the_projection(
    tmp_path: Path, collector: Collector, sending: SpanProcessor
) -> None:
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
    (called,) = _named(spans, "call roster.open-school")
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


async def test_a_mail_stands_in_the_trace_of_what_caused_it_and_tells_nothing_of_its_reader(
    tmp_path: Path, collector: Collector, sending: SpanProcessor, monkeypatch: pytest.MonkeyPatch
) -> None:
    telemetry.set_up(processor=sending)
    async with post_office() as office:
        monkeypatch.setenv("VEKHA_SMTP_URL", office.url)
        monkeypatch.setenv("VEKHA_MAIL_FROM", "vekha@example.org")
        try:
            async with instance(tmp_path) as client:
                teacher = await _teacher(client)
                await client.ask(
                    identity.MAIL_LINKS,
                    identity.MailLinks(school=SCHOOL, people=(teacher,)),
                    as_=f"administrator:{SCHOOL}",
                    up_to_date=True,
                )
                await _taken(client, SCHOOL, "activation-link")
                await client.ask(operations.ADVANCE_CLOCK, operations.AdvanceClock(days=30), timeout_s=60.0)
                await _taken(client, SCHOOL, "daily")
        finally:
            sending.shutdown()
    spans = collector.spans()
    (asked,) = _named(spans, "call identity.mail-links")
    (mailed,) = [span for span in _named(spans, "mail") if span.trace_id == asked.trace_id]
    mine = [span for span in spans if span.trace_id == asked.trace_id]
    assert {"identity.mail-links", "record", "relay", "react queue-links", "project people"} <= {span.name for span in mine}
    (queueing,) = _named(mine, "react queue-links")
    assert mailed.parent_span_id == queueing.span_id
    within = {span.name for span in mine if span.parent_span_id == mailed.span_id}
    assert within >= {"call roster.person", "call identity.take-link", "record"}
    # What is told of a day has many causes: it is traced from where it is written.
    daily = [span for span in _named(spans, "mail") if span is not mailed]
    assert daily
    assert {span.parent_span_id for span in daily} <= {span.span_id for span in _named(spans, "write messages")}
    assert {key.key for span in _named(spans, "mail") for key in span.attributes} == {"message"}
    assert "Щукина" not in str(collector.received)
    assert "@" not in str([span.attributes for span in spans])
    assert all(content.decode() not in str(collector.received) for _, content in office.mails)


async def _teacher(client: Client) -> str:
    """A teacher with an address, who has consented, in a school whose plan has begun."""
    await client.ask(OPEN_SCHOOL, OpenSchool(school=SCHOOL, name=NAME, municipality="mytishchi"))
    details = PersonName(last_name="Щукина", first_name="Ольга", email="teacher@example.org")
    hired: list[str] = []
    for position in (Position.TEACHER, Position.DIRECTOR):
        hiring = HireStaff(school=SCHOOL, details=details, position=position, hired_on=date(2010, 9, 1))
        hired.append((await client.ask(HIRE_STAFF, hiring)).reply.person)
    await client.ask(plan.ADOPT_PLAN, plan.AdoptPlan(school=SCHOOL, start=date(2015, 8, 17)), up_to_date=True)
    decision = consent.Decision(granted=True, person=hired[0], subject_kind=consent.SubjectKind.STAFF)
    await client.ask(consent.RECORD_DECISION, consent.RecordDecision(school=SCHOOL, decision=decision), up_to_date=True)
    return hired[0]


async def _taken(client: Client, school: str, template: str) -> None:
    """Waits until every message of a kind was taken by the mail server, and there is one; in vain it is ended from outside."""
    while True:
        rows = (await client.ask(notifier.OUTBOX, notifier.OutboxQuery(school=school))).reply.messages
        states = {row.state for row in rows if row.template == template}
        if states == {"accepted"}:
            return
        await asyncio.sleep(0.02)


def _named(spans: list[Span], name: str) -> list[Span]:
    return [span for span in spans if span.name == name]


def test_without_a_collector_nothing_is_sent() -> None:
    assert otlp.processor({}) is None
    assert otlp.processor({otlp.ENDPOINT: ""}) is None
