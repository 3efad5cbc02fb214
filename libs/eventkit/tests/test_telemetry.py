"""Traces and logs: one trace from a call to its projections, and nowhere a body, a name or the text of an unexpected error."""

import json
import logging
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

import pytest
import structlog
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from sqlalchemy import Connection, MetaData

from contracts.call import Role
from contracts.event import Event
from contracts.identity import HAND_OVER, HandedOver, HandOver
from contracts.roster import OPEN_SCHOOL, SCHOOL, OpenSchool, SchoolCard, SchoolOpened, SchoolQuery, SchoolReply
from eventkit import telemetry
from eventkit.access import Known
from eventkit.answering import Caller
from eventkit.calls import CallFailed
from eventkit.decider import Decider, Refused
from eventkit.event import Recorded, decode
from eventkit.harness import BEGUN, System, director, everything, running
from eventkit.service import Service, Settings
from eventkit.store import Transaction
from eventkit.telemetry import span, traceparent, trouble
from eventkit.tokens import Actor

NAME = "Иванов Пётр Сергеевич"


@pytest.fixture(scope="module")
def exporter() -> Iterator[InMemorySpanExporter]:
    """Spans of this process from now on. OpenTelemetry has one provider a process, so it is set up once."""
    exporter = InMemorySpanExporter()
    processor = SimpleSpanProcessor(exporter)
    telemetry.set_up(processor=processor)
    structlog.reset_defaults()  # the logs would go on writing to the stream that is captured now
    yield exporter
    processor.shutdown()


@pytest.fixture
def spans(exporter: InMemorySpanExporter) -> InMemorySpanExporter:
    exporter.clear()
    return exporter


class Schools:
    name = "schools"
    sources = ("roster",)
    tables = MetaData()
    wants = staticmethod(everything)

    def apply(self, connection: Connection, events: Sequence[Recorded]) -> None:
        if any(event.school == "poison" for event in events):
            raise ValueError(NAME)


school = Decider[OpenSchool, bool](
    "school",
    initial=False,
    decide=lambda command, state: (
        list[Event]() if state else [SchoolOpened(school=command.school, municipality=command.municipality, timezone=command.timezone)]
    ),
    evolve=lambda state, event: True,
)


def roster(settings: Settings) -> Service:
    service = Service(settings)
    service.projection(Schools())

    @service.command(OPEN_SCHOOL)
    def open_school(request: OpenSchool, transaction: Transaction, caller: Caller) -> SchoolReply:
        if request.school == "broken":
            raise RuntimeError(f"{request.name} cannot be taken in")
        transaction.decide(school, request.school, request, school=request.school, happened_on=date(2015, 8, 17))
        return SchoolReply(school=request.school)

    @service.query(SCHOOL)
    async def find(request: SchoolQuery, caller: Caller) -> SchoolCard:
        raise Refused("school.unknown", f"There is no school {request.school}.")

    return service


def opening(name: str) -> OpenSchool:
    return OpenSchool(school=name, name=NAME, municipality="m-1")


async def recorded(system: System) -> Recorded:
    ((_, _, data),) = await system.instance.services["roster"].store.read(BEGUN, 10)
    return decode(data)


def ids(span: ReadableSpan) -> tuple[str, str, str | None]:
    """Trace, span and parent."""
    context = span.context
    assert context is not None
    return f"{context.trace_id:032x}", f"{context.span_id:016x}", None if span.parent is None else f"{span.parent.span_id:016x}"


def by_name(spans: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in spans.get_finished_spans()}


async def test_one_trace_runs_from_the_call_through_the_event_to_its_projection(tmp_path: Path, spans: InMemorySpanExporter) -> None:
    async with running(tmp_path, {"roster": roster}) as system:
        await system.call(OPEN_SCHOOL, opening("school-7"))
        await system.settled()
        event = await recorded(system)
    found = by_name(spans)
    made, answered, projected = found["call roster.open-school"], found["roster.open-school"], found["project schools"]
    assert [span.kind for span in (made, answered, projected)] == [SpanKind.CLIENT, SpanKind.SERVER, SpanKind.CONSUMER]
    trace, calling, _ = ids(made)
    _, answering, _ = ids(answered)
    assert ids(answered) == (trace, answering, calling)
    assert ids(projected)[::2] == (trace, answering)
    assert event.traceparent is not None
    assert event.traceparent.split("-")[1:3] == [trace, answering]
    assert dict(projected.attributes or {}) == {"source": "roster", "position": 2}


@pytest.fixture(scope="module")
def reader() -> InMemoryMetricReader:
    """Reads the figures of all tests here: a process has one provider of meters."""
    reader = InMemoryMetricReader()
    metrics.set_meter_provider(MeterProvider(metric_readers=[reader]))
    return reader


def denials(reader: InMemoryMetricReader, service: str) -> dict[tuple[object, ...], int]:
    """How often a service's calls were denied so far, by call, code and role."""
    data = reader.get_metrics_data()
    found = [metric for one in data.resource_metrics for scope in one.scope_metrics for metric in scope.metrics] if data else []
    return {
        tuple((point.attributes or {})[name] for name in ("call", "code", "role")): point.value
        for metric in found
        if metric.name == "vekha.calls.denied"
        for point in metric.data.data_points
        if isinstance(point, NumberDataPoint) and isinstance(point.value, int)
        if str((point.attributes or {})["call"]).startswith(f"{service}.")
    }


async def test_what_is_denied_is_counted_by_call_code_and_role_and_what_is_not_found_is_no_denial(
    tmp_path: Path, reader: InMemoryMetricReader
) -> None:
    query = SchoolQuery(school="school-8")
    async with running(tmp_path, {"roster": roster}) as system:
        for _ in range(3):
            with pytest.raises(Refused, match=r"^access\.other-school"):
                await system.call(SCHOOL, query, as_=director("school-7"))
        with pytest.raises(Refused, match=r"^access\.role"):
            await system.call(OPEN_SCHOOL, opening("school-8"), as_=director("school-7"))
        with pytest.raises(Refused, match=r"^school\.unknown"):
            await system.call(SCHOOL, query)
    assert denials(reader, "roster") == {
        ("roster.school", "access.other-school", "director"): 3,
        ("roster.open-school", "access.role", "director"): 1,
    }


def handing_over(settings: Settings) -> Service:
    """An identity that refuses each who is not of the class for itself, unless nobody is; it asks twice, as printing does."""
    service = Service(settings)
    service.knows(
        Known(
            people_of_class=lambda rows, school, class_id, people: {"p-own"} & set(people),
            teaches=lambda rows, school, class_id, person: True,
        )
    )

    @service.command(HAND_OVER)
    def hand_over(request: HandOver, tx: Transaction, caller: Caller) -> HandedOver:
        refused: dict[str, str] = {}
        for person in (*request.people, *request.people):
            try:
                caller.check_reach(person)
            except Refused as refusal:
                refused[person] = refusal.code
                if len(request.people) == 1:
                    raise
        return HandedOver(handed_over=len(request.people) - len(refused), refused=refused)

    return service


@pytest.mark.usefixtures("spans")
async def test_a_denial_that_a_call_answers_for_one_of_many_is_logged_and_counted_once_as_one_that_is_raised_is(
    tmp_path: Path, reader: InMemoryMetricReader, capsys: pytest.CaptureFixture[str]
) -> None:
    teacher = Actor(Role.CLASS_TEACHER, "5a", "school-7")
    denied = ("identity.hand-over", "access.other-class", "class_teacher")
    async with running(tmp_path, {"identity": handing_over}) as system:
        answer = await system.call(HAND_OVER, HandOver(school="school-7", people=("p-own", "p-one", "p-two")), as_=teacher)
        assert answer.refused == {"p-one": "access.other-class", "p-two": "access.other-class"}
        assert denials(reader, "identity") == {denied: 2}
        with pytest.raises(Refused, match=r"^access\.other-class"):
            await system.call(HAND_OVER, HandOver(school="school-7", people=("p-one",)), as_=teacher)
    assert denials(reader, "identity") == {denied: 3}
    logged = "".join(capsys.readouterr())
    assert logged.count("call.denied") == 3
    assert "p-one" not in logged


async def test_two_calls_are_two_traces(tmp_path: Path, spans: InMemorySpanExporter) -> None:
    async with running(tmp_path, {"roster": roster}) as system:
        await system.call(OPEN_SCHOOL, opening("school-7"))
        await system.call(OPEN_SCHOOL, opening("school-8"))
        await system.settled()
    projected = {ids(span)[0] for span in spans.get_finished_spans() if span.name == "project schools"}
    assert len(projected) == 2


async def test_neither_spans_nor_logs_hold_a_body_or_the_text_of_an_error(
    tmp_path: Path, spans: InMemorySpanExporter, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running(tmp_path, {"roster": roster}) as system:
        with pytest.raises(CallFailed):
            await system.call(OPEN_SCHOOL, opening("broken"))
        with pytest.raises(Refused):
            await system.call(SCHOOL, SchoolQuery(school="school-7"))
        await system.call(OPEN_SCHOOL, opening("poison"))
        await system.settled()
    told = json.dumps([json.loads(span.to_json()) for span in spans.get_finished_spans()], ensure_ascii=False)
    logged = "".join(capsys.readouterr())
    for word in NAME.split():
        assert word not in told
        assert word not in logged
    assert "event.parked" in logged
    assert "call.failed" in logged


async def test_a_span_says_of_a_failure_its_type_and_of_a_refusal_its_code(tmp_path: Path, spans: InMemorySpanExporter) -> None:
    async with running(tmp_path, {"roster": roster}) as system:
        with pytest.raises(CallFailed):
            await system.call(OPEN_SCHOOL, opening("broken"))
        with pytest.raises(Refused):
            await system.call(SCHOOL, SchoolQuery(school="school-7"))
    found = by_name(spans)
    failed, refused = found["roster.open-school"], found["roster.school"]
    assert (failed.status.status_code, failed.status.description) == (StatusCode.ERROR, "RuntimeError")
    assert refused.status.status_code is StatusCode.UNSET
    assert dict(refused.attributes or {}) == {"refused": "school.unknown"}
    assert failed.events == refused.events == ()


def test_a_span_lies_below_the_traceparent_that_it_is_given(spans: InMemorySpanExporter) -> None:
    assert traceparent() is None
    with span("outer"):
        outer = traceparent()
    assert outer is not None
    with span("elsewhere"), span("inner", parent=outer):
        inner = traceparent()
    assert inner is not None
    found = by_name(spans)
    assert ids(found["inner"])[0] == ids(found["outer"])[0] != ids(found["elsewhere"])[0]
    assert inner.split("-")[1:3] == list(ids(found["inner"])[:2])


def test_the_trouble_of_an_error_is_its_type_and_places_alone() -> None:
    def innermost(name: str) -> None:
        raise KeyError(name)

    with pytest.raises(KeyError) as caught:
        innermost(NAME)
    told = trouble(caught.value)
    assert told["error"] == "KeyError"
    assert told["at"][-1].startswith("test_telemetry.py:")
    assert told["at"][-1].endswith(" innermost")
    assert "Иванов" not in json.dumps(told, ensure_ascii=False)


@pytest.fixture
def set_up_again() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def test_logs_are_json_lines_on_stderr_and_the_level_can_be_changed(
    exporter: InMemorySpanExporter, set_up_again: None, capsys: pytest.CaptureFixture[str]
) -> None:
    telemetry.set_up()
    structlog.get_logger("test").info("bus.trouble", connection="roster")
    telemetry.set_up(level=logging.ERROR)
    structlog.get_logger("test").info("bus.trouble", connection="consent")
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert json.loads(line) | {"timestamp": ""} == {"event": "bus.trouble", "connection": "roster", "level": "info", "timestamp": ""}
