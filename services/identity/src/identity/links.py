"""Activation links: made in the request, kept as keyed digests, and in the clear nowhere but in the mail (DOMAIN 5).

A link waits sealed for whoever mails it, who takes it once; what nobody took within a day opens nothing. It is no fold: what is lost here
is issued again. A token names its credential, so that it can be looked for without comparing secrets, and holds 192 bits of its own.
"""

from __future__ import annotations

import os
import secrets as randomness
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import BigInteger, Column, Connection, LargeBinary, MetaData, Table, Text, delete, func, insert, select

from contracts import identity
from eventkit import log
from eventkit.answering import Caller
from eventkit.clock import local_day, start_of_day
from eventkit.decider import Refused
from eventkit.erasure import forgotten
from eventkit.event import standing
from eventkit.secrets import Secrets
from eventkit.service import Service, happened_on
from eventkit.store import Transaction
from identity import codes, credentials
from identity.credentials import Credential, credential_table
from identity.domain.account import ACCOUNTS, Issue, has_live_code
from identity.domain.gates import check_consent, check_entered
from identity.erasing import ERASED
from identity.issuing import new_id
from identity.projections import Rows, people_of, timezone
from identity.reissues import carry_out, check_alone

LINK_LIFETIME_DAYS = 30
TO_BE_TAKEN_WITHIN = timedelta(hours=24)
KNOWN_AFTERWARDS = timedelta(days=90)
"""For so long whoever shows a link that has come to its end is told so; afterwards it is as unknown as any other."""

_SECRET_BYTES = 24
_NONCE_BYTES = 12
_NO_DIGEST = "0" * 64

metadata = MetaData()

link_table = Table(
    "link",
    metadata,
    Column("credential", Text, primary_key=True),
    Column("person", Text, nullable=False),
    Column("school", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("until_s", BigInteger, nullable=False, index=True),
)
"""The keyed digest of each link, replaced ones as well; it is forgotten at `until_s`, in seconds of the epoch."""

link_to_mail_table = Table(
    "link_to_mail",
    metadata,
    Column("credential", Text, primary_key=True),
    Column("person", Text, nullable=False),
    Column("school", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("until_s", BigInteger, nullable=False, index=True),
)
"""The secrets that wait to be mailed. A row goes with its first reader, or at `until_s`."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What became of everybody asked for, and when the links that were made are forgotten if nobody takes them; None: there are none."""

    reply: identity.MailedLinks
    until: datetime | None


def prepare(tx: Transaction, secrets: Secrets, caller: Caller, request: identity.MailLinks, with_address: Collection[str]) -> Prepared:
    """Issues links to those who pass the gates and have an address, and seals them for whoever mails them.

    Raises Refused for what concerns everybody; what concerns one person stands beside that person.
    """
    zone = timezone(tx.rows, request.school)
    day, today = happened_on(request.happened_on, tx.now, zone), local_day(tx.now, zone)
    expires_on, until = today + timedelta(days=LINK_LIFETIME_DAYS), tx.now + TO_BE_TAKEN_WITHIN
    people = people_of(tx.rows, request.school, dict.fromkeys(request.people))
    replaced = {person for person in people if request.reissue and has_live_code(tx.state(ACCOUNTS, person), today)}
    if request.proposal is None:
        check_alone(replaced)
    logins = credentials.logins_of(tx, people)
    free = iter(credentials.free_logins(tx, len(people) - len(logins)))
    issued: list[Credential] = []
    refused: dict[str, str] = {}
    for person, known in people.items():
        credential, secret = new_id("k"), randomness.token_urlsafe(_SECRET_BYTES)
        try:
            caller.check_reach(person)
            if tx.state(ERASED, person):
                raise forgotten(person)
            kind = check_entered(known)
            check_consent(known)
            if person not in with_address:
                raise Refused("person.no-address", "Roster knows no e-mail address of this person. Enter one, or print a slip.")
            command = Issue(person, kind, new_id("a"), credential, today, expires_on, request.reissue, link=True)
            tx.decide(ACCOUNTS, person, command, school=request.school, happened_on=day)
        except Refused as refusal:
            refused[person] = refusal.code
            continue
        of = {"credential": credential, "person": person, "school": request.school}
        digest = _digest(secrets, credential, secret)
        known_until = start_of_day(expires_on, zone) + KNOWN_AFTERWARDS
        tx.write(delete(link_to_mail_table).where(link_to_mail_table.c.person == person))
        tx.write(insert(link_table).values(**of, digest=digest, until_s=_epoch_s(known_until)))
        tx.write(insert(link_to_mail_table).values(**of, sealed=_seal(secrets, credential, secret), until_s=_epoch_s(until)))
        issued.append(Credential(person, request.school, logins.get(person) or next(free), credential, digest))
    if request.proposal is not None:
        carry_out(tx, request.school, request.proposal, [one.person for one in issued if one.person in replaced], today)
    first = [one for one in issued if one.person not in logins]
    credentials.keep(tx, first, replaced=[one for one in issued if one.person in logins])
    prepared = tuple(one.person for one in issued)
    return Prepared(identity.MailedLinks(prepared=prepared, refused=refused, expires_on=expires_on), until if issued else None)


def take(connection: Connection, secrets: Secrets, page: str, request: identity.TakeLink, now: datetime) -> identity.TakenLink:
    """The clear link of a credential, which nobody is told again. Raises Refused `link.lost`."""
    table = link_to_mail_table
    this = (table.c.credential == request.credential) & (table.c.school == request.school) & (table.c.until_s > _epoch_s(now))
    taken = connection.execute(delete(table).where(this).returning(table.c.person, table.c.sealed)).first()
    if taken is None:
        raise _lost()
    history = standing(log.history(connection, ACCOUNTS.stream(taken.person)))
    account = ACCOUNTS.fold(recorded.event() for recorded in history)
    if account.credential != request.credential or account.state not in ("issued", "handed-over"):
        raise _lost()
    secret = _open(secrets, request.credential, taken.sealed)
    login = connection.execute(select(credential_table.c.login).where(credential_table.c.person == taken.person)).scalar_one()
    return identity.TakenLink(link=f"{page}#{request.credential}.{secret}", login=login, expires_on=account.expires_on)


def forsake(tx: Transaction, person: str) -> None:
    """Nobody is to mail a person's link any more."""
    tx.write(delete(link_to_mail_table).where(link_to_mail_table.c.person == person))


@dataclass(frozen=True, slots=True)
class Shown:
    """Whose link somebody has shown."""

    credential: str
    person: str
    school: str
    login: str | None


def shown(rows: Rows, secrets: Secrets, token: str) -> Shown:
    """Whose link this token is of. Raises Refused `activation.wrong`, after the same work whatever is wrong with it."""
    credential, _, secret = token.partition(".")
    found = next(iter(rows(select(link_table).where(link_table.c.credential == credential))), None)
    right = codes.same(_digest(secrets, credential, secret), found.digest if found else _NO_DIGEST)
    if found is None or not right:
        raise Refused("activation.wrong", "This link opens nothing. Open it as it stands in the mail, or ask for another one.")
    return Shown(credential, found.person, found.school, credentials.login_of(rows, found.person))


class ForgetLinks:
    """The timer that forgets what nobody took in time, and the digests of links that have come to their end long ago."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._next: datetime | None = None
        self._has_looked = False

    def prepared(self, until: datetime) -> None:
        """Something will have to be forgotten then."""
        self._next = until if self._next is None else min(self._next, until)

    def next_due(self, now: datetime) -> datetime | None:
        return self._next if self._has_looked else now

    async def handle(self, now: datetime) -> None:
        self._next = None  # whatever is prepared meanwhile counts
        first = await self._service.write(lambda connection: _forget(connection, now))
        self._has_looked = True
        if first is not None:
            self.prepared(first)


def _forget(connection: Connection, now: datetime) -> datetime | None:
    """Removes what has come to its end, and answers when something will next."""
    first: list[int | None] = []
    for table in (link_table, link_to_mail_table):
        connection.execute(delete(table).where(table.c.until_s <= _epoch_s(now)))
        first.append(connection.execute(select(func.min(table.c.until_s))).scalar())
    return min((datetime.fromtimestamp(until_s, UTC) for until_s in first if until_s is not None), default=None)


def _lost() -> Refused:
    return Refused("link.lost", "This link was taken before, replaced, or waited too long. Issue another one.")


def _digest(secrets: Secrets, credential: str, secret: str) -> str:
    return secrets.mac("link", f"{credential}:{secret}".encode())


def _seal(secrets: Secrets, credential: str, secret: str) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(secrets.key("link-to-mail")).encrypt(nonce, secret.encode(), credential.encode())


def _open(secrets: Secrets, credential: str, sealed: bytes) -> str:
    """Raises Refused `link.lost` where the row was changed: nobody can mail that."""
    try:
        nonce, data = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        return AESGCM(secrets.key("link-to-mail")).decrypt(nonce, data, credential.encode()).decode()
    except InvalidTag:
        raise _lost() from None


def _epoch_s(moment: datetime) -> int:
    return int(moment.timestamp())
