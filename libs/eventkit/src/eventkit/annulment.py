"""Annulling an entry of a service's record by a call: which kinds of events can be, and whose history each belongs to.

An act that can be undone by another act need not be annulled: what is annulled never was, on any day. So a service lists the few kinds of
events for which that is wanted; every other is refused, with a word on what to do instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contracts.call import AnnulEntry
from contracts.event import Annulment, Event
from eventkit.decider import Decider, Refused
from eventkit.event import Recorded
from eventkit.store import Transaction


class Annulling:
    """`of` holds, by the type of an event that can be annulled, the decider of its stream; `annulment` is the service's own event."""

    def __init__(self, annulment: type[Annulment], of: Mapping[type[Event], Decider[Any, Any]]) -> None:
        self._annulment = annulment
        self._of = {event.type: decider for event, decider in of.items()}

    def carry_out(self, request: AnnulEntry, tx: Transaction) -> Recorded | None:
        """Annuls one entry and answers it, None where it was annulled before.

        Raises Refused `entry.unknown` where there is no such event of this school at this position, `entry.not-annullable` for a kind of
        event that cannot be, and what `Transaction.annul` raises.
        """
        found = tx.entry(request.position)
        if found is None or (found.id, found.school) != (request.event, request.school):
            text = f"There is no event {request.event} of {request.school} at position {request.position}."
            raise Refused("entry.unknown", text, "`vekha events` shows id and position of each.")
        decider = self._of.get(found.type)
        if decider is None:
            text = f"{found.type} is not annulled: undo it by another act, with the day on which that was true."
            raise Refused("entry.not-annullable", text, f"These can be: {', '.join(sorted(self._of))}.")
        return tx.annul(decider, found.stream.removeprefix(decider.stream("")), found.id, self._annulment, request.reason)
