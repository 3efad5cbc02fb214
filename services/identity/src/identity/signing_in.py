"""The calls of whoever shows a login: an account is activated with its code, signed in to with its password, and given another one.

Each attempt is counted before it is looked at (attempts.py). What is wrong gets the same answer after the same work, whatever it is: an
unknown login, a wrong password, none chosen yet, a blocked account. So nobody learns which logins there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Connection

from contracts import CALLS, identity
from contracts.call import Role
from contracts.roster import Done
from eventkit import log
from eventkit.answering import Caller
from eventkit.clock import local_day
from eventkit.decider import Refused
from eventkit.event import standing
from eventkit.service import Commit, Service, happened_on
from eventkit.store import Transaction
from identity import activity, attempts, codes, credentials, passwords, roles, scopes
from identity.credentials import Credential
from identity.days import done_now, since
from identity.domain.account import ACCOUNTS, Activate
from identity.domain.gates import check_still_here
from identity.domain.password import check_password, meant_password
from identity.hashing import NOBODYS, Hashing
from identity.policies import Ratings
from identity.projections import Rows, people_of, timezone

TOKEN_LIFETIME_S = 300

_NO_DIGEST = "0" * 64


@dataclass(frozen=True, slots=True)
class _Known:
    """What is kept under a login that was shown: whose it is, the password's hash, and in what its owner may act."""

    found: Credential | None
    hash: str | None
    roles: tuple[str, ...]


def register(service: Service, ratings: Ratings, hashing: Hashing) -> None:
    service.at_stop(hashing.stop)

    async def begin(login: str) -> str:
        """Counts an attempt; answers under what."""
        key = attempts.key(service.secrets, login)
        await service.write(lambda connection: attempts.begin(connection, key, service.clock))
        return key

    async def succeeded(key: str) -> None:
        await service.write(lambda connection: attempts.forget(connection, key))

    @service.command_in_steps(identity.ACTIVATE)
    async def activate(request: identity.Activate, caller: Caller, commit: Commit[identity.Activated]) -> identity.Activated:
        key = await begin(request.login)
        login = codes.meant_login(request.login)
        found = await service.read(lambda connection: credentials.by_login(_rows(connection), login))
        shown = codes.digest(service.secrets, found.credential if found else "", request.code)
        right = codes.same(shown, found.digest if found else _NO_DIGEST)
        if found is None or not right:
            raise Refused("activation.wrong", "Login or code is wrong. Type both as they are printed.")
        encoded = await passwords.chosen(hashing, request.password, needed=service.settings.production, unlike=(found.login, request.code))

        def work(tx: Transaction) -> identity.Activated:
            zone = timezone(tx.rows, found.school)
            said_on = done_now if caller.actor.role is Role.ANONYMOUS else happened_on
            day, today = said_on(request.happened_on, tx.now, zone), local_day(tx.now, zone)
            check_still_here(people_of(tx.rows, found.school, [found.person])[found.person])
            # Should another code have been issued meanwhile, the account knows, and says so.
            command = Activate(found.credential, today, day, since(request.happened_on, tx, found.school, found.person))
            tx.decide(ACCOUNTS, found.person, command, school=found.school, happened_on=day)
            if encoded is not None:
                passwords.keep(tx, found.person, encoded, school=found.school, today=today)
            return identity.Activated(account=tx.state(ACCOUNTS, found.person).account, person=found.person)

        activated = (await commit(work)).reply
        await succeeded(key)  # not before: whoever holds a code that opens nothing any more would try passwords without delays
        return activated

    async def signed_in(login: str, password: str) -> tuple[Credential, _Known]:
        """Whose login and password these are. Raises Refused `sign-in.wrong`, whatever of it is wrong."""
        key = await begin(login)
        known = await service.read(lambda connection: _known(connection, codes.meant_login(login)))
        try:
            right = await hashing.matches(known.hash or NOBODYS, meant_password(password))
        except Refused:
            await service.write(lambda connection: attempts.give_back(connection, key, service.clock.now()))
            raise
        if known.found is None or known.hash is None or not known.roles or not right:
            hint = "Whoever has forgotten the password asks the school for another code."
            raise Refused("sign-in.wrong", "Login or password is wrong.", hint)
        await succeeded(key)
        return known.found, known

    @service.query(identity.SIGN_IN)
    async def sign_in(request: identity.SignIn, caller: Caller) -> identity.SignedIn:
        found, known = await signed_in(request.login, request.password)
        role = request.role or known.roles[0]
        if role not in known.roles:
            raise Refused("sign-in.role", f"You cannot act as {role}: you have {', '.join(known.roles)}.")
        own = roles.own_role(known.roles, found.person)
        actor = await service.read(lambda connection: scopes.actor(_rows(connection), role, principal=None if role == own else own))
        day = await service.write(lambda connection: _note(connection, found, service.clock.now()))
        ratings.noted(day)
        audience = {call.service for call in CALLS.values() if actor.role in call.scopes}
        token = service.tokens.mint(actor, lifetime_s=TOKEN_LIFETIME_S, audience=audience)
        return identity.SignedIn(token=token, expires_in_s=TOKEN_LIFETIME_S, person=found.person, role=role, roles=known.roles)

    @service.command_in_steps(identity.CHANGE_PASSWORD)
    async def change_password(request: identity.ChangePassword, caller: Caller, commit: Commit[Done]) -> Done:
        found, _ = await signed_in(request.login, request.password)
        meant = meant_password(request.new_password)
        check_password(meant, unlike=(found.login,))
        encoded = await hashing.hash(meant)

        def work(tx: Transaction) -> Done:
            now_valid = credentials.by_login(tx.rows, found.login)
            if now_valid is None or now_valid.credential != found.credential:
                raise Refused("activation.replaced", "Another code has been issued since. Use the newest one.")
            today = local_day(tx.now, timezone(tx.rows, found.school))
            passwords.keep(tx, found.person, encoded, school=found.school, today=today)
            return Done()

        return (await commit(work)).reply


def _known(connection: Connection, login: str | None) -> _Known:
    """The same readings whoever's login it is, and if it is nobody's."""
    rows = _rows(connection)
    found = credentials.by_login(rows, login)
    person, school = (found.person, found.school) if found else ("", "")
    account = ACCOUNTS.fold(recorded.event() for recorded in standing(log.history(connection, ACCOUNTS.stream(person))))
    return _Known(found, passwords.hash_of(rows, person, account), roles.roles_of(rows, school, person))


def _note(connection: Connection, found: Credential, now: datetime) -> date:
    """Counts a sign-in as the day's activity (step 21); answers the day."""
    day = local_day(now, timezone(_rows(connection), found.school))
    activity.note(connection, found.school, day, [found.person])
    return day


def _rows(connection: Connection) -> Rows:
    return lambda statement: connection.execute(statement).all()
