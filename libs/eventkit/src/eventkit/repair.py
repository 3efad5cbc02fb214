"""Taking the lost end of a log back from its bus stream (DESIGN 2.3): byte for byte, at the same positions, with the ids of its commands.

A database that was put back from an older backup ends before its stream. What the service's own seals speak for in that tail is taken
back as it is. What no seal covers may be anybody's, so somebody has to say of each event whether it happened; whatever follows one that
did not hangs on it, and goes with it.

A command whose event is taken back was carried out: sent again, it records nothing. Its answer was kept in the lost part alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection

from contracts.operations import KeyPublication, KeyRetirement
from eventkit import log, seals
from eventkit.event import Recorded, decode, link
from eventkit.jetstream import BusMessage
from eventkit.keys import KEYS, trusted
from eventkit.log import CommandRow, Head, Row
from eventkit.seals import Seal, SealKey

_AT_A_TIME = 1000

Follow = Callable[[Connection, Recorded], None]
"""Writes what follows from an event in a service's own tables, as far as the event tells."""


class Contradicted(Exception):
    """What was said of the tail's events cannot be true together; the text says why."""


@dataclass(frozen=True, slots=True)
class Tail:
    """What a stream holds behind the end of its log: consecutive events, and up to where seals that hold speak for them."""

    base: Head
    events: tuple[tuple[BusMessage, Recorded], ...]
    sealed: int
    seals: tuple[Seal, ...]

    @property
    def unsealed(self) -> list[Recorded]:
        return [recorded for (position, _, _), recorded in self.events if position > self.sealed]

    def through(self, accepted: Collection[str], discarded: Collection[str]) -> tuple[int, int]:
        """Up to which position to take events back, and up to which the stream then holds nothing that is still undecided.

        Raises Contradicted where an event is to be taken back although one before it is not.
        """
        upto, gone = self.sealed, False
        undecided = False
        for recorded in self.unsealed:
            if recorded.id in discarded:
                gone = True
            elif recorded.id in accepted:
                if gone or undecided:
                    text = f"Event {recorded.id} follows others that are not taken back, and cannot be taken back without them."
                    raise Contradicted(text)
                upto = recorded.position
            elif not gone:
                undecided = True
        last = self.events[-1][0][0] if self.events else self.base.position
        return upto, upto if undecided else last


def tail(connection: Connection, messages: Sequence[BusMessage], heard: Sequence[Seal], roots: Collection[str]) -> Tail:
    """What of a stream's messages behind the log's end follows it, as far as they are events in their places.

    `heard` are the seals that the bus holds, `roots` the ids of the service's keys that are known from elsewhere.
    """
    base, service = log.head(connection), log.about(connection).service
    events: list[tuple[BusMessage, Recorded]] = []
    for message in messages:
        position, subject, data = message
        try:
            recorded = decode(data)
            fits = (recorded.position, recorded.subject) == (position, subject) and recorded.service == service
        except (msgspec.MsgspecError, ValueError):
            break
        if not fits or position != base.position + len(events) + 1:
            break
        events.append((message, recorded))
    whose = seals.Log(service, log.log_id(connection))
    told = [
        *log.history(connection, KEYS.stream(service)),
        *(recorded for _, recorded in events if recorded.stream == KEYS.stream(service)),
    ]
    published = [event for recorded in told if isinstance(event := recorded.event(), KeyPublication)]
    ends = {event.key_id: event.not_after for recorded in told if isinstance(event := recorded.event(), KeyRetirement)}
    names = [event.key_id for event in published]
    known = trusted(service, published, set(roots).intersection(names) or names[:1])
    keys = {name: SealKey(key, ends.get(name)) for name, key in known.items()}
    sealed = seals.covered(base, (data for (_, _, data), _ in events), heard, keys, whose)
    ours = tuple(
        seal
        for seal in heard
        if (seal.service, seal.log) == (service, whose.log_id) and seal.position <= sealed and seals.holds(seal, keys)
    )
    return Tail(base, tuple(events), sealed, ours)


def take_back(connection: Connection, found: Tail, through: int, follows: Sequence[Follow]) -> int:
    """Writes the tail's events up to a position, their commands, their seals and what follows from them; answers how many there were.

    It is the caller's transaction. Raises log.HeadMoved where the log does not end any more where the tail begins.
    """
    events = [(message, recorded) for message, recorded in found.events if message[0] <= through]
    base = found.base
    for first in range(0, len(events), _AT_A_TIME):
        base = _write(connection, events[first : first + _AT_A_TIME], base)
    for _, recorded in events:
        for follow in follows:
            follow(connection, recorded)
    last_kept = seals.last_kept(connection).position
    for seal in sorted(found.seals, key=lambda seal: seal.position):
        if last_kept < seal.position <= through and seal.since == last_kept:
            seals.keep(connection, seal)
            last_kept = seal.position
    return len(events)


def _write(connection: Connection, events: Sequence[tuple[BusMessage, Recorded]], base: Head) -> Head:
    rows: list[Row] = []
    last: dict[str, int] = {}
    chain = base.hash
    for (position, _, data), recorded in events:
        chain = link(chain, data)
        last[recorded.commandid] = position
        rows.append(
            Row(
                position,
                recorded.stream,
                recorded.version,
                recorded.type,
                recorded.id,
                recorded.commandid,
                recorded.school,
                recorded.happenedon,
                recorded.recordedat,
                chain,
                data,
            )
        )
    known = log.commands(connection, list(last))
    commands = [CommandRow(name, log.ANSWER_LOST, position, "null") for name, position in last.items() if name not in known]
    new = Head(rows[-1].position, chain, rows[-1].recorded_at)
    log.write(connection, rows, commands, base, new)
    return new
