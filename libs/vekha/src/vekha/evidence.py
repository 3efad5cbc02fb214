"""What is held against one service's log: its own seals and keys, what a checkpoint says of it, and the contracts of its events.

A log is followed once, event by event, whoever keeps it: a database, or an archive. What does not fit is a finding each; `damage` says in
one word what was done to the log, and from where on.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import msgspec

from contracts.operations import KeyPublication, KeyRetirement
from contracts.plan import CalendarPinned, CalendarTable
from eventkit import seals
from eventkit.checkpoint import SIGNER, Checkpoint, Sealed
from eventkit.event import Recorded, decode, genesis, link
from eventkit.keys import trusted
from eventkit.log import MISSING_TOLD, Finding
from eventkit.seals import Keys, Log, Seal, SealKey

Kind = Literal["changed", "removed", "inserted", "reordered", "truncated", "forged"]

HARMLESS = frozenset(("lag", "unsealed"))
"""Kinds of findings that are no fault: the relay publishes what is missing on the bus, and the service seals what is not sealed yet."""

_UNREADABLE = frozenset(("bytes-undecodable", "event-undecodable"))

_VAGUE = frozenset(("seal-differs", "checkpoint-differs"))

_DONE: Mapping[str, Kind] = {
    "beyond-head": "inserted",
    "stream-ahead": "forged",
    "stream-gap": "removed",
    "reader-ahead": "truncated",
    "reader-differs": "forged",
    "seal-ahead": "truncated",
    "seal-differs": "forged",
    "seal-forged": "forged",
    "seal-missing": "removed",
    "key-forged": "forged",
    "key-missing": "truncated",
    "checkpoint-ahead": "truncated",
    "checkpoint-differs": "forged",
    "checkpoint-forged": "forged",
    "database-missing": "removed",
}


class FrameBroken(Exception):
    """Where an archived log's next event begins, and how long it is, cannot be told."""


class Stored(NamedTuple):
    """An event as an archive keeps it: its position, the chain's hash there, and its bytes, verbatim."""

    position: int
    hash: bytes
    data: bytes


@dataclass(frozen=True, slots=True)
class Damage:
    """What was done to a log, and the first position where it shows."""

    service: str
    position: int
    kind: Kind


@dataclass
class Witness:
    """Looks on while one log is followed, and tells afterwards what does not fit.

    `sealed` are the seals that stand beside the log, `heard` those that the bus holds: there anybody's may be among them. `roots` are the
    keys that are known from elsewhere; where there are none, the log's first key has to do. `sealed_to` is the position up to which there
    have to be seals, where that is known.
    """

    whose: Log
    sealed: Sequence[Seal]
    heard: Sequence[Seal] = ()
    roots: Collection[str] = ()
    checkpoints: Sequence[Sealed] = ()
    on_event: Callable[[], None] = lambda: None
    sealed_to: int = 0
    calendars: dict[str, CalendarTable] = field(default_factory=dict[str, CalendarTable])
    """Those that the log has pinned, by digest."""
    _hashes: dict[int, str] = field(default_factory=dict[int, str])
    _times: dict[int, str] = field(default_factory=dict[int, str])  # of the events at which seals were set
    _published: list[KeyPublication] = field(default_factory=list[KeyPublication])
    _published_at: list[int] = field(default_factory=list[int])
    _ends: dict[str, str] = field(default_factory=dict[str, str])
    _undecodable: list[int] = field(default_factory=list[int])
    _elsewhere: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    _last: int = 0
    _vague_up_to: int = 0  # where a seal or a checkpoint shows that something before it is wrong

    def __post_init__(self) -> None:
        self._asked = {seal.position for seal in (*self.sealed, *self.heard)}
        self._asked.update(checkpoint.position for checkpoint in self.checkpoints)

    @property
    def last(self) -> int:
        """The last position that was seen."""
        return self._last

    def seen(self, position: int, data: bytes, chain: bytes, recorded: Recorded | None) -> None:
        """An event at a position, with the chain's hash after it; its envelope, where it has one."""
        self.on_event()
        self._last = max(self._last, position)
        if position in self._asked:
            self._hashes[position] = chain.hex()
        if recorded is None:
            return
        if position in self._asked:
            self._times[position] = recorded.recordedat
        if recorded.position != position:
            self._elsewhere.append((position, recorded.position))
        try:
            event = recorded.event()
        except (ValueError, LookupError, msgspec.MsgspecError, RecursionError):
            self._undecodable.append(position)
            return
        match event:
            case KeyPublication():
                self._published.append(event)
                self._published_at.append(position)
            case KeyRetirement():
                self._ends.setdefault(event.key_id, event.not_after)
            case CalendarPinned():
                self.calendars[event.calendar.digest] = event.calendar
            case _:
                pass

    def keys(self) -> Keys:
        """The keys that the log has published and that hang together with those that are known."""
        published = [event.key_id for event in self._published]
        known = trusted(self.whose.service, self._published, set(self.roots).intersection(published) or published[:1])
        return {name: SealKey(key, self._ends.get(name)) for name, key in known.items()}

    def findings(self) -> Iterator[Finding]:
        """What does not fit, once the whole log was followed."""
        service, keys = self.whose.service, self.keys()
        for position in self._undecodable:
            yield Finding(service, position, "event-undecodable")
        for event, position in zip(self._published, self._published_at, strict=True):
            if event.key_id not in keys:
                yield Finding(service, position, "key-forged")
        if self._last and self.roots and not keys.keys() & self.roots:
            yield Finding(service, self._last + 1, "key-missing")
        since = 0
        for seal in sorted(self.sealed, key=lambda seal: seal.position):
            if not self._holds(seal, keys):
                yield Finding(service, seal.position, "seal-forged")
            elif seal.since > since:
                yield Finding(service, since + 1, "seal-missing")
            since = max(since, seal.position)
        if since < self.sealed_to:
            yield Finding(service, since + 1, "seal-missing")
        # The bus was asked before the log was opened, and a seal is kept beside the log before it is published.
        if any(since < seal.position <= self._last and self._holds(seal, keys) for seal in self.heard):
            yield Finding(service, since + 1, "seal-missing")
        yield from self._against_seals(keys)
        for checkpoint in self.checkpoints:
            yield from self._against_checkpoint(checkpoint)

    @property
    def sealed_up_to(self) -> int:
        """The last position that the service has sealed, be it in the log or not."""
        keys = self.keys()
        return max((seal.position for seal in (*self.sealed, *self.heard) if self._holds(seal, keys)), default=0)

    def _holds(self, seal: Seal, keys: Keys) -> bool:
        """Whether the service has made it. It says the event's time: else a key that has ended would date it back."""
        is_ours = (seal.service, seal.log) == (self.whose.service, self.whose.log_id)
        return is_ours and self._times.get(seal.position, seal.recorded_at) == seal.recorded_at and seals.holds(seal, keys)

    def _against_seals(self, keys: Keys) -> Iterator[Finding]:
        """The first place where a seal, wherever it was kept, says something else of the log than the log itself, and where they end."""
        service, agreed = self.whose.service, 0
        said: dict[int, set[str]] = {}
        for seal in (*self.sealed, *self.heard):
            if self._holds(seal, keys):
                said.setdefault(seal.position, set()).add(seal.hash)
        for position, hashes in sorted(said.items()):
            if position > self._last:
                yield Finding(service, self._last + 1, "seal-ahead")
                return
            if hashes != {self._hashes.get(position)}:
                # Wherever between the two seals it was: the chain is what tells, and it was made to fit.
                self._vague_up_to = position
                yield Finding(service, agreed + 1, "seal-differs")
                return
            agreed = position
        if self._last > agreed:
            yield Finding(service, agreed + 1, "unsealed")

    def _against_checkpoint(self, checkpoint: Sealed) -> Iterator[Finding]:
        service = self.whose.service
        if checkpoint.log != self.whose.log_id:
            yield Finding(service, 1 if checkpoint.position else 0, "checkpoint-differs")
        elif checkpoint.position > self._last:
            yield Finding(service, self._last + 1, "checkpoint-ahead")
        elif checkpoint.position and self._hashes.get(checkpoint.position) != checkpoint.hash:
            agreed = [
                seal.position
                for seal in self.sealed
                if seal.position < checkpoint.position and self._hashes.get(seal.position) == seal.hash
            ]
            self._vague_up_to = max(self._vague_up_to, checkpoint.position)
            yield Finding(service, max(agreed, default=0) + 1, "checkpoint-differs")

    def damage(self, findings: Iterable[Finding]) -> Damage | None:
        """What the first of the findings that are faults amounts to; None where there is none."""
        faults = [finding for finding in findings if finding.kind not in HARMLESS]
        if not faults:
            return None
        # An event that says nothing says nothing of what was done: whatever else is wrong does.
        faults = [finding for finding in faults if finding.kind not in _UNREADABLE] or faults
        placed = [finding for finding in faults if finding.kind not in _VAGUE]
        if any(finding.position <= self._vague_up_to for finding in placed):
            faults = placed  # what is wrong, and where, is known better than by a seal behind it
        first = min(finding.position for finding in faults)
        kinds = {finding.kind for finding in faults if finding.position == first}
        if "stream-ahead" in kinds and self.sealed_up_to >= first:
            return Damage(self.whose.service, first, "truncated")  # what the stream holds the service had recorded
        return Damage(self.whose.service, first, self._done(first, kinds))

    def _done(self, position: int, kinds: set[str]) -> Kind:
        if "frame-broken" in kinds:
            return "changed"
        if "duplicate" in kinds:
            return "inserted"
        here = dict(self._elsewhere)
        came_from = {q for _, q in self._elsewhere}
        if "missing" in kinds:
            if position in came_from:
                return "reordered"
            return "removed" if self._last > position else "truncated"
        if (meant := here.get(position)) is not None:
            if meant < position:
                return "inserted"
            return "reordered" if position in came_from else "removed"
        if position in came_from and kinds & {"chain-broken", "stream-differs"}:
            return "inserted"  # the event that belongs here stands further on
        for kind, done in _DONE.items():
            if kind in kinds and "chain-broken" not in kinds:
                return done
        return "changed"


def followed(whose: Log, head: int, rows: Iterable[Stored], witness: Witness) -> Iterator[Finding]:
    """Every departure of an archived log from its own rules: what is missing, doubled, or does not follow from what came before."""
    chain, expected, recorded_at = genesis(whose.service, whose.log_id), 0, ""
    try:
        for row in rows:
            if row.position <= expected:
                yield Finding(whose.service, row.position, "duplicate")
                continue
            for position in range(expected + 1, min(row.position, expected + 1 + MISSING_TOLD)):
                yield Finding(whose.service, position, "missing")
            expected = row.position
            chain = link(chain, row.data)
            if chain != row.hash:
                yield Finding(whose.service, row.position, "chain-broken")
                chain = row.hash
            recorded = None
            try:
                recorded = decode(row.data)
            except msgspec.DecodeError:
                yield Finding(whose.service, row.position, "bytes-undecodable")
            else:
                if recorded.position != row.position:
                    yield Finding(whose.service, row.position, "column-differs:position")
                if recorded.recordedat < recorded_at:
                    yield Finding(whose.service, row.position, "time-runs-backwards")
                recorded_at = max(recorded_at, recorded.recordedat)
            witness.seen(row.position, row.data, chain, recorded)
    except FrameBroken:
        yield Finding(whose.service, expected + 1, "frame-broken")
        return
    for position in range(expected + 1, min(head, expected + MISSING_TOLD) + 1):
        yield Finding(whose.service, position, "missing")
    if expected > head:
        yield Finding(whose.service, head + 1, "beyond-head")


@dataclass
class Examined:
    """What was found while the five logs were looked through."""

    heads: dict[str, int] = field(default_factory=dict[str, int])
    sealed: dict[str, int] = field(default_factory=dict[str, int])
    findings: list[Finding] = field(default_factory=list[Finding])
    damage: list[Damage] = field(default_factory=list[Damage])
    identity: Keys = field(default_factory=dict[str, SealKey])

    @property
    def ok(self) -> bool:
        return not self.damage

    def take(self, service: str, witness: Witness, findings: Sequence[Finding], head: int) -> None:
        """What was found of one log, which ends at `head`."""
        self.heads[service], self.sealed[service] = head, witness.sealed_up_to
        self.findings += findings
        if (damage := witness.damage(findings)) is not None:
            self.damage.append(damage)
        if service == SIGNER:
            self.identity = witness.keys()

    def hold(self, checkpoint: Checkpoint) -> None:
        """Holds a checkpoint's own signature against identity's keys, once its log was taken."""
        forged = Damage(SIGNER, 0, "forged")
        if not checkpoint.holds(self.identity) and forged not in self.damage:
            self.findings.append(Finding(SIGNER, 0, "checkpoint-forged"))
            self.damage.append(forged)
