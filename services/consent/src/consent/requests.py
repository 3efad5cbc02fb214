"""Forms that were handed out: told for whoever wonders how long a family has had one. Nothing rests on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby

from consent.forms import Form, forms_of
from consent.projections import timezone
from contracts import consent
from contracts.consent import ConsentRequested
from contracts.event import Event
from contracts.roster import Done
from eventkit.answering import Caller
from eventkit.decider import Decider
from eventkit.service import Service, happened_on
from eventkit.store import Transaction


@dataclass(frozen=True, slots=True)
class HandOut:
    """Forms were handed out on a day."""

    forms: Sequence[Form]
    on: date


Requests = frozenset[str]
"""What was handed out to one class, or to one person, each as its event's JSON."""


def decide(command: HandOut, requests: Requests) -> Sequence[Event]:
    handed_out = {event.model_dump_json(): event for event in (_event(form, command.on) for form in command.forms)}
    return [event for said, event in handed_out.items() if said not in requests]


def evolve(requests: Requests, event: Event) -> Requests:
    match event:
        case ConsentRequested():
            return requests | {event.model_dump_json()}
        case _:
            raise TypeError(f"{event.type} is no event of forms that were handed out")


REQUESTS: Decider[HandOut, Requests] = Decider("requests", frozenset(), decide, evolve)
"""The forms handed out; a stream's id is the class's or the person's."""


def register(service: Service) -> None:
    @service.command(consent.REQUEST)
    def request(request: consent.RequestConsents, tx: Transaction, caller: Caller) -> Done:
        day = happened_on(request.happened_on, tx.now, timezone=timezone(tx.rows, request.school))
        forms = forms_of(tx.rows, request, day)
        for stream, of_stream in groupby(forms, key=_stream):
            tx.decide(REQUESTS, stream, HandOut(list(of_stream), day), school=request.school, happened_on=day)
        return Done()


def _stream(form: Form) -> str:
    return form.seat.class_id if form.seat is not None else form.person or ""


def _event(form: Form, on: date) -> ConsentRequested:
    template = form.template
    return ConsentRequested(
        seat=form.seat,
        person=form.person,
        subject_kind=template.subject_kind,
        template=template.name,
        template_version=template.version,
        template_sha256=template.terms.template_sha256 or "",
        requested_on=on,
    )
