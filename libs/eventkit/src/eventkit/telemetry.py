"""Logs and traces, set up once a process: structlog to stderr as JSON lines, OpenTelemetry with W3C trace context.

A trace runs from a call through the event it recorded (its `traceparent`) and the relay to the projections that took it in, and to what
reactions did because of it, mail included. Neither logs nor spans hold bodies: ids, codes, counts and positions only, by an allow-list
(`redaction`; DESIGN 2.7). What libraries log comes out in the same lines, as who spoke and where.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import structlog
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from structlog.typing import EventDict, WrappedLogger

from eventkit.decider import Refused
from eventkit.redaction import allowed

_propagator = TraceContextTextMapPropagator()
SCOPE = "vekha"
"""Whose our spans are, in OpenTelemetry's words."""

_tracer = trace.get_tracer(SCOPE)
_listeners: list[SpanProcessor] = []
_libraries = structlog.get_logger("libraries")


def set_up(*, service: str = "vekha", level: int = logging.INFO, processor: SpanProcessor | None = None) -> None:
    """Sets up logging and tracing for this process, which is `service`. A second call changes the log level, and adds the processor."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _without_texts,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),  # whatever stderr is then: the one of now may be closed by then
        cache_logger_on_first_use=False,
    )
    # The libraries say what they have to say in warnings.
    logging.root.setLevel(logging.WARNING)
    if not any(isinstance(handler, _Libraries) for handler in logging.root.handlers):
        logging.root.addHandler(_Libraries())
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        provider = TracerProvider(resource=Resource.create({"service.name": service, "service.namespace": "vekha"}))
        trace.set_tracer_provider(provider)
    if processor is not None:
        provider.add_span_processor(processor)
        _listeners.append(processor)


def is_heard() -> bool:
    """Whether anybody listens to spans: what they cost on the way of every event is spent only then."""
    return bool(_listeners)


@contextmanager
def span(name: str, *, kind: SpanKind = SpanKind.INTERNAL, parent: str | None = None, **attributes: str | int) -> Generator[None]:
    """A span, below `parent` (a traceparent) where one is given, else below the current one."""
    context = _propagator.extract({"traceparent": parent}) if parent else None
    with _tracer.start_as_current_span(
        name, context=context, kind=kind, attributes=allowed(attributes), record_exception=False, set_status_on_exception=False
    ) as current:
        try:
            yield
        except Refused as refused:
            current.set_attributes(allowed({"refused": refused.code}))
            raise
        except Exception as error:
            # The type alone. OpenTelemetry by itself would record the text, too, which may quote a body.
            current.set_status(StatusCode.ERROR, type(error).__name__)
            raise


def span_after(parent: str | None, name: str, **attributes: str | int) -> AbstractContextManager[None]:
    """A span of what follows from an event, where the event has a trace and anybody listens."""
    return span(name, kind=SpanKind.CONSUMER, parent=parent, **attributes) if parent and is_heard() else nullcontext()


def happened(name: str, *, since_ns: int, parent: str | None, kind: SpanKind = SpanKind.INTERNAL, **attributes: str | int) -> None:
    """A span that is told now that it is over, where it has a parent and anybody listens. It began at `since_ns`, by `time.time_ns`."""
    if parent and is_heard():
        context = _propagator.extract({"traceparent": parent})
        _tracer.start_span(name, context, kind, allowed(attributes), start_time=since_ns).end()


def traceparent() -> str | None:
    """The current span's W3C traceparent; None outside any recorded span."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return carrier.get("traceparent")


def trouble(error: BaseException) -> dict[str, Any]:
    """What a log may say of an unexpected error: its type and where it was raised.

    Never its text, a source line or a local variable: each may quote a row, a body or a secret.
    """
    frames = traceback.extract_tb(error.__traceback__)
    return {"error": type(error).__name__, "at": [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]}


def _without_texts(_logger: WrappedLogger, _method: str, said: EventDict) -> EventDict:
    if said.pop("exc_info", None) and (error := sys.exc_info()[1]) is not None:
        said.update(trouble(error))
    return allowed(said)


class _Libraries(logging.Handler):
    """Tells that a library had something to say, where, and of which error. Its words may quote a subject, a statement or a row."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        known = {"at": [f"{record.filename}:{record.lineno} {record.funcName}"]} if error is None else trouble(error)
        tell = _libraries.error if record.levelno >= logging.ERROR else _libraries.warning
        tell("library.spoke", logger=record.name, **known)
