"""A bulk reissue by two people (DOMAIN 5): one proposes whose codes are replaced, somebody else confirms, then it is carried out, once
for each of these people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

from contracts.event import Event
from contracts.identity import ReissueCarriedOut, ReissueConfirmed, ReissueProposed
from eventkit.decider import Decider, Refused

ALONE = 5
"""So many codes one person may replace in a call: a family's, or what a class has lost in a week."""

VALID_DAYS = 7


@dataclass(frozen=True, slots=True)
class Propose:
    """`by` wants to replace these people's codes; the proposal is valid to the end of `expires_on`."""

    proposal: str
    people: tuple[str, ...]
    by: str
    expires_on: date


@dataclass(frozen=True, slots=True)
class Confirm:
    by: str
    on: date


@dataclass(frozen=True, slots=True)
class CarryOut:
    """The codes of these people are replaced now."""

    people: tuple[str, ...]
    on: date


Command = Propose | Confirm | CarryOut


@dataclass(frozen=True, slots=True)
class Reissue:
    """A proposal and how far it is; `left` are those whose codes are still to be replaced."""

    proposal: str = ""
    people: tuple[str, ...] = ()
    left: frozenset[str] = frozenset()
    proposed_by: str = ""
    confirmed_by: str | None = None
    expires_on: date = date.min


def decide(command: Command, reissue: Reissue) -> Sequence[Event]:
    match command:
        case Propose():
            if reissue.proposal:
                return []
            proposed = ReissueProposed(
                proposal=command.proposal, people=command.people, proposed_by=command.by, expires_on=command.expires_on
            )
            return [proposed]
        case Confirm():
            _check_valid(reissue, command.on)
            if command.by == reissue.proposed_by:
                raise Refused("reissue.same-person", "Who proposed a reissue cannot confirm it. Somebody else of the office has to.")
            return [] if reissue.confirmed_by else [ReissueConfirmed(proposal=reissue.proposal, confirmed_by=command.by)]
        case CarryOut():
            return _carry_out(command, reissue)


def _carry_out(command: CarryOut, reissue: Reissue) -> Sequence[Event]:
    _check_valid(reissue, command.on)
    if reissue.confirmed_by is None:
        raise Refused("reissue.not-confirmed", "Nobody has confirmed this proposal yet. Ask the director or another administrator to.")
    strangers = set(command.people) - reissue.left
    if strangers:
        text = f"{len(strangers)} of these people are not in the proposal, or their codes have been replaced under it already."
        raise Refused("reissue.not-proposed", text, "Leave them out, or propose another reissue.")
    return [ReissueCarriedOut(proposal=reissue.proposal, people=command.people)] if command.people else []


def _check_valid(reissue: Reissue, on: date) -> None:
    if not reissue.proposal:
        raise Refused("reissue.unknown", "There is no such proposal in this school. identity.propose-reissue answers with its id.")
    if on > reissue.expires_on:
        raise Refused("reissue.expired", f"This proposal was valid until {reissue.expires_on}. Propose it anew.")


def evolve(reissue: Reissue, event: Event) -> Reissue:
    match event:
        case ReissueProposed():
            return Reissue(event.proposal, event.people, frozenset(event.people), event.proposed_by, None, event.expires_on)
        case ReissueConfirmed():
            return replace(reissue, confirmed_by=event.confirmed_by)
        case ReissueCarriedOut():
            return replace(reissue, left=reissue.left.difference(event.people))
        case _:
            raise TypeError(f"{event.type} is no event of a reissue")


REISSUES: Decider[Command, Reissue] = Decider("reissue", Reissue(), decide, evolve)
"""One proposal; a stream's id is `school.proposal`, so that no other school finds it."""
