"""The calls of a bulk reissue by two people, and the check that nobody replaces many codes alone (DOMAIN 5)."""

from __future__ import annotations

import secrets as randomness
from collections.abc import Collection
from datetime import date, timedelta

from sqlalchemy import Connection

from contracts import identity
from contracts.roster import Done
from eventkit import log
from eventkit.answering import Caller
from eventkit.clock import local_day
from eventkit.decider import Refused
from eventkit.event import standing
from eventkit.service import Service
from eventkit.store import Transaction
from eventkit.tokens import Actor
from identity.domain.account import ACCOUNTS, has_live_code
from identity.domain.reissue import ALONE, REISSUES, VALID_DAYS, CarryOut, Confirm, Propose, Reissue
from identity.projections import people_of, timezone

_PROPOSAL_BYTES = 10


def register(service: Service) -> None:
    @service.command(identity.PROPOSE_REISSUE)
    def propose(request: identity.ProposeReissue, tx: Transaction, caller: Caller) -> identity.ProposedReissue:
        today = local_day(tx.now, timezone(tx.rows, request.school))
        proposal, people = f"r-{randomness.token_hex(_PROPOSAL_BYTES)}", tuple(dict.fromkeys(request.people))
        if any(known.kind is None for known in people_of(tx.rows, request.school, people).values()):
            raise Refused("person.unknown", "Somebody among these people is not at this school. Look at their ids (roster.people).")
        command = Propose(proposal, people, signer(caller.actor), today + timedelta(days=VALID_DAYS))
        tx.decide(REISSUES, _stream(request.school, proposal), command, school=request.school, happened_on=today)
        return identity.ProposedReissue(proposal=proposal, expires_on=command.expires_on)

    @service.command(identity.CONFIRM_REISSUE)
    def confirm(request: identity.ConfirmReissue, tx: Transaction, caller: Caller) -> Done:
        today = local_day(tx.now, timezone(tx.rows, request.school))
        stream, command = _stream(request.school, request.proposal), Confirm(signer(caller.actor), today)
        tx.decide(REISSUES, stream, command, school=request.school, happened_on=today)
        return Done()

    @service.query(identity.REISSUE)
    async def reissue(request: identity.ReissueQuery, caller: Caller) -> identity.ReissueCard:
        return await service.read(lambda connection: _card(connection, request))


def signer(actor: Actor) -> str:
    """Who is meant by "somebody else": the person who has signed in, whatever the role; else who acts."""
    principal = actor.principal or ""
    return principal if principal.startswith("staff:") else str(actor)


def check_alone(replaced: Collection[str]) -> None:
    """Raises Refused `reissue.needs-second` where these are more people than one may replace live codes of alone."""
    if len(replaced) > ALONE:
        text = f"{len(replaced)} of these people have a code or an account in use. Nobody replaces more than {ALONE} of them alone."
        hint = (
            "Propose it (vekha reissue propose), have somebody else of the office confirm it (vekha reissue confirm),"
            " then say this again with --reissue --proposal ID."
        )
        raise Refused("reissue.needs-second", text, hint)


def live_among(connection: Connection, people: Collection[str], today: date) -> set[str]:
    """Those of the people from whom another code would take something away, as they are told of outside a command."""
    histories = {person: standing(log.history(connection, ACCOUNTS.stream(person))) for person in people}
    accounts = {person: ACCOUNTS.fold(recorded.event() for recorded in history) for person, history in histories.items()}
    return {person for person, account in accounts.items() if has_live_code(account, today)}


def check_carried_out(connection: Connection, school: str, proposal: str, people: Collection[str], today: date) -> None:
    """Raises Refused where `carry_out` would, as it is known outside a command."""
    REISSUES.decide(CarryOut(tuple(people), today), _found(connection, school, proposal))


def carry_out(tx: Transaction, school: str, proposal: str, people: Collection[str], today: date) -> None:
    """Records that codes are replaced under a proposal. Raises Refused where it does not allow that, or not any more."""
    command = CarryOut(tuple(people), today)
    tx.decide(REISSUES, _stream(school, proposal), command, school=school, happened_on=today)


def _card(connection: Connection, request: identity.ReissueQuery) -> identity.ReissueCard:
    timezone(lambda statement: connection.execute(statement).all(), request.school)
    found = _found(connection, request.school, request.proposal)
    if not found.proposal:
        raise Refused("reissue.unknown", f"There is no proposal {request.proposal} in this school.")
    return identity.ReissueCard(
        people=found.people,
        left=tuple(person for person in found.people if person in found.left),
        proposed_by=found.proposed_by,
        confirmed_by=found.confirmed_by,
        expires_on=found.expires_on,
    )


def _found(connection: Connection, school: str, proposal: str) -> Reissue:
    history = standing(log.history(connection, REISSUES.stream(_stream(school, proposal))))
    return REISSUES.fold(recorded.event() for recorded in history)


def _stream(school: str, proposal: str) -> str:
    return f"{school}.{proposal}"
