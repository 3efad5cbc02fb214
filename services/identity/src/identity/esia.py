"""Accounts activated by ЕСИА, the state's single sign-on: a provider of OpenID Connect says whose СНИЛС it is, roster says who that is.

Of a flow that has begun nothing but a keyed digest of its state is kept, for ten minutes and for one use. Its nonce and its PKCE verifier
are derived from the state under a key of the instance, so neither stands anywhere.
"""

from __future__ import annotations

import secrets as randomness
from datetime import datetime, timedelta

from sqlalchemy import Column, Connection, MetaData, Table, Text, delete, insert, select

from contracts import identity, roster
from eventkit import log
from eventkit.answering import Caller
from eventkit.clock import local_day
from eventkit.decider import Refused
from eventkit.event import rfc3339, standing
from eventkit.secrets import Secrets
from eventkit.service import Commit, Service
from eventkit.store import Transaction
from identity import passwords
from identity.credentials import login_of
from identity.domain.account import ACCOUNTS, ActivateByEsia
from identity.domain.gates import check_still_here
from identity.domain.password import check_password, meant_password
from identity.hashing import Hashing
from identity.openid import Provider
from identity.projections import people_of, timezone

FLOW_LIFETIME_S = 600

_STATE_BYTES = 32

metadata = MetaData()

flow_table = Table(
    "esia_flow",
    metadata,
    Column("state", Text, primary_key=True),
    Column("school", Text, nullable=False),
    Column("expires_at", Text, nullable=False),
)


def register(service: Service, hashing: Hashing) -> None:
    provider = None if service.settings.esia is None else Provider(service.settings.esia, service.clock)

    def set_up() -> Provider:
        if provider is None:
            text = "This instance is not connected to ЕСИА. Use the code that the school gave you."
            raise Refused("esia.not-set-up", text, "VEKHA_ESIA_ISSUER and its three companions connect it.")
        return provider

    @service.query(identity.BEGIN_ESIA)
    async def begin(request: identity.BeginEsia, caller: Caller) -> identity.BegunEsia:
        esia, state = set_up(), randomness.token_urlsafe(_STATE_BYTES)
        await service.read(lambda connection: timezone(lambda statement: connection.execute(statement).all(), request.school))
        url = await esia.address(state=state, nonce=_nonce(service.secrets, state), verifier=_verifier(service.secrets, state))
        kept = _kept(service.secrets, state)
        await service.write(lambda connection: _begin(connection, kept, request.school, service.clock.now()))
        return identity.BegunEsia(url=url, state=state, expires_in_s=FLOW_LIFETIME_S)

    @service.command_in_steps(identity.FINISH_ESIA)
    async def finish(request: identity.FinishEsia, caller: Caller, commit: Commit[identity.Activated]) -> identity.Activated:
        esia, kept = set_up(), _kept(service.secrets, request.state)
        if request.password is not None:  # before the flow is used up
            check_password(meant_password(request.password))
        school = await service.write(lambda connection: _end(connection, kept, service.clock.now()))
        if school is None:
            raise Refused("esia.stale", "This sign-in at ЕСИА was used before, or has taken too long. Begin anew.")
        nonce, verifier = _nonce(service.secrets, request.state), _verifier(service.secrets, request.state)
        snils = await esia.snils(request.code, nonce=nonce, verifier=verifier)
        person = await _person_of(service, school, snils)
        login = await service.read(lambda connection: login_of(lambda statement: connection.execute(statement).all(), person))
        encoded = await passwords.chosen(hashing, request.password, needed=False, unlike=(login,) if login else ())

        def work(tx: Transaction) -> identity.Activated:
            today = local_day(tx.now, timezone(tx.rows, school))
            check_still_here(people_of(tx.rows, school, [person])[person])
            tx.decide(ACCOUNTS, person, ActivateByEsia(), school=school, happened_on=today)
            if encoded is not None:
                passwords.keep(tx, person, encoded, school=school, today=today)
            return identity.Activated(account=tx.state(ACCOUNTS, person).account, person=person)

        return (await commit(work)).reply


async def _person_of(service: Service, school: str, snils: str) -> str:
    """Who of a school has a СНИЛС. Of somebody who is entered twice, as staff and as a parent, the account that waits to be activated."""
    people = (await service.calls.call(roster.BY_SNILS, roster.SnilsQuery(school=school, snils=snils))).reply.people
    waiting = people if len(people) == 1 else await service.read(lambda connection: _waiting(connection, people))
    if len(waiting) != 1:
        text = "The school has no account to activate for your СНИЛС. Ask the school to compare it, or use the code that it gave you."
        raise Refused("esia.person-unknown", text)
    return waiting[0]


def _waiting(connection: Connection, people: tuple[str, ...]) -> tuple[str, ...]:
    histories = {person: standing(log.history(connection, ACCOUNTS.stream(person))) for person in people}
    states = {person: ACCOUNTS.fold(recorded.event() for recorded in history).state for person, history in histories.items()}
    return tuple(person for person in people if states[person] not in ("none", "activated", "blocked"))


def _begin(connection: Connection, kept: str, school: str, now: datetime) -> None:
    connection.execute(delete(flow_table).where(flow_table.c.expires_at < rfc3339(now)))
    expires_at = rfc3339(now + timedelta(seconds=FLOW_LIFETIME_S))
    connection.execute(insert(flow_table).values(state=kept, school=school, expires_at=expires_at))


def _end(connection: Connection, kept: str, now: datetime) -> str | None:
    """The school of a flow, which ends with this; None where there is none, or not any more. Of two at once one finds it."""
    row = connection.execute(select(flow_table).where(flow_table.c.state == kept).with_for_update()).first()
    ended = connection.execute(delete(flow_table).where(flow_table.c.state == kept)).rowcount
    return row.school if row is not None and ended and row.expires_at >= rfc3339(now) else None


def _kept(secrets: Secrets, state: str) -> str:
    return secrets.mac("esia-state", state.encode())


def _nonce(secrets: Secrets, state: str) -> str:
    return secrets.mac("esia-nonce", state.encode())


def _verifier(secrets: Secrets, state: str) -> str:
    return secrets.mac("esia-verifier", state.encode())
