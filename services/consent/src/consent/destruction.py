"""The calls about forgetting a person: ordered at once, how far it is, and the act that proves it, with the extract of the logs."""

from __future__ import annotations

import asyncio
import secrets as randomness
from base64 import b64decode, b64encode
from collections.abc import Sequence
from datetime import date
from hashlib import sha256
from zoneinfo import ZoneInfo

from pydantic import TypeAdapter
from sqlalchemy import Connection, Executable, Row

from consent import act
from consent.act import Act
from consent.erasures import ERASURES, Erasure, Order
from consent.grounds import ground_of
from consent.projections import Rows, timezone
from contracts import erasure as calls
from contracts.erasure import DataCategory, ErasureCompleted, ErasureGround, ErasureOrdered, ServiceName
from contracts.operations import READ_LOG, ReadLog
from contracts.roster import SCHOOL, SchoolQuery
from eventkit import log
from eventkit.answering import Caller
from eventkit.clock import local_day
from eventkit.decider import Refused
from eventkit.event import Recorded, decode, encode
from eventkit.service import Service
from eventkit.store import Transaction

_SERVICE = TypeAdapter[ServiceName](ServiceName)


def register(service: Service) -> None:
    @service.command(calls.ORDER_ERASURE)
    def order(request: calls.OrderErasure, tx: Transaction, caller: Caller) -> calls.OrderedErasure:
        zone = timezone(tx.rows, request.school)
        _require_known(tx.rows, request.school, request.person)
        command = Order(f"e-{randomness.token_hex(10)}", request.person, request.ground, request.reference)
        tx.decide(ERASURES, request.person, command, school=request.school, happened_on=local_day(tx.now, zone))
        return calls.OrderedErasure(erasure=tx.state(ERASURES, request.person).erasure)

    @service.query(calls.ERASURE)
    async def state(request: calls.ErasureQuery, caller: Caller) -> calls.ErasureState:
        return await service.read(lambda connection: _state(connection, request))

    @service.query(calls.ACT_OF_DESTRUCTION)
    async def act_of_destruction(request: calls.ErasureQuery, caller: Caller) -> calls.ActOfDestruction:
        zone, history = await service.read(lambda connection: _history(connection, request))
        found = ERASURES.fold(recorded.event() for recorded in history)
        if found.state != "completed":
            text = f"The data of {request.person} are not destroyed, or not everywhere: there is nothing to attest yet."
            raise Refused("erasure.not-completed", text, "`vekha erasure status` says how far it is.")
        erased = [await _read(service, one.service, one.position) for one in found.answered]
        own = [recorded for recorded in history if recorded.facts()[1]["erasure"] == found.erasure]
        entries = tuple(_entry(recorded) for recorded in (*own, *erased))
        card = (await service.calls.call(SCHOOL, SchoolQuery(school=request.school), origin=caller.origin)).reply
        reason = _reason(found)
        extract = tuple(_destroyed_in(request.person, recorded, reason) for recorded in erased)
        document = Act(
            school=card.name,
            person=request.person,
            erasure=found.erasure,
            reason=reason,
            ordered_on=_day_of(own, ErasureOrdered.type),
            completed_on=_day_of(own, ErasureCompleted.type),
            carried_out_by=_carried_out_by(own),
            destroyed=extract,
            entries=[(entry.service, entry.position, entry.sha256) for entry in entries],
        )
        now = service.clock.now().astimezone(ZoneInfo(zone))
        pdf = await asyncio.to_thread(act.render, document, now=now)
        return calls.ActOfDestruction(
            person=request.person, erasure=found.erasure, extract=extract, entries=entries, pdf=b64encode(pdf).decode()
        )


def _require_known(rows: Rows, school: str, person: str) -> None:
    if not ground_of(rows, school, person).known:
        raise Refused("person.unknown", f"There is nobody with the id {person} in this school.", "roster.people tells the ids.")


def _rows(connection: Connection) -> Rows:
    def rows(statement: Executable) -> Sequence[Row[tuple[object, ...]]]:
        return connection.execute(statement).all()

    return rows


def _history(connection: Connection, request: calls.ErasureQuery) -> tuple[str, list[Recorded]]:
    """The school's time zone, and what is recorded of the person's erasures."""
    zone = timezone(_rows(connection), request.school)
    _require_known(_rows(connection), request.school, request.person)
    return zone, log.history(connection, ERASURES.stream(request.person))


def _state(connection: Connection, request: calls.ErasureQuery) -> calls.ErasureState:
    _, history = _history(connection, request)
    found: Erasure = ERASURES.fold(recorded.event() for recorded in history)
    own = [recorded for recorded in history if recorded.facts()[1]["erasure"] == found.erasure]
    return calls.ErasureState(
        person=request.person,
        state=found.state,
        erasure=found.erasure or None,
        ground=found.ground,
        reference=found.reference,
        due_on=found.due_on if found.state in ("scheduled", "cancelled") else None,
        ordered_on=_day_of(own, ErasureOrdered.type) if found.is_under_way else None,
        completed_on=_day_of(own, ErasureCompleted.type) if found.state == "completed" else None,
        held_on=None if found.is_under_way else ground_of(_rows(connection), request.school, request.person).holds,
        answers=tuple(
            calls.ErasureAnswer(service=one.service, position=one.position, event=one.event, sha256=one.sha256, destroyed=one.destroyed)
            for one in found.answered
        ),
    )


def _day_of(history: Sequence[Recorded], type_name: str) -> date:
    return next(date.fromisoformat(recorded.happenedon) for recorded in reversed(history) if recorded.type == type_name)


async def _read(service: Service, of: ServiceName, position: int) -> Recorded:
    """An event of another service's log, or of our own."""
    if of == service.name:
        return decode((await service.store.read(position - 1, 1))[0][2])
    run = (await service.calls.call(READ_LOG[of], ReadLog(after=position - 1, limit=1))).reply
    return decode(b64decode(run.rows[0].bytes))


def _entry(recorded: Recorded) -> calls.LogEntry:
    data = encode(recorded)
    return calls.LogEntry(
        service=_SERVICE.validate_python(recorded.service),
        position=recorded.position,
        event=recorded.id,
        type=recorded.type,
        happened_on=date.fromisoformat(recorded.happenedon),
        recorded_at=recorded.recordedat,
        sha256=sha256(data).hexdigest(),
        bytes=b64encode(data).decode(),
    )


def _reason(found: Erasure) -> str:
    ground = found.ground or ErasureGround.LEFT
    return act.REASONS[ground] if found.reference is None else f"{act.REASONS[ground]}, документ {found.reference}"


def _destroyed_in(person: str, recorded: Recorded, reason: str) -> calls.DestroyedIn:
    destroyed = [DataCategory(category) for category in recorded.facts()[1]["destroyed"]]
    way = act.WAY_WITH_KEY if DataCategory.KEY in destroyed else act.WAY
    return calls.DestroyedIn(
        person=person,
        system=act.SYSTEMS[recorded.service],
        categories=tuple(act.CATEGORIES[category] for category in destroyed) or (act.NOTHING,),
        way=way if destroyed else "—",
        reason=reason,
        destroyed_on=date.fromisoformat(recorded.happenedon),
    )


def _carried_out_by(history: Sequence[Recorded]) -> str:
    """Who ordered it, as the record names actors; what was due by the clock the system has done itself."""
    ordered = next(recorded for recorded in reversed(history) if recorded.type == ErasureOrdered.type)
    if ordered.actor.startswith("service:"):
        return "автоматически, по истечении срока"
    return f"по распоряжению, {ordered.actor}"
