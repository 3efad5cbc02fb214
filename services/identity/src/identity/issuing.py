"""Issuing one-time codes inside a command: who of the people asked for gets one, and what is kept of it."""

from __future__ import annotations

import secrets as randomness
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, timedelta

from contracts import identity
from eventkit.answering import Caller
from eventkit.clock import local_day
from eventkit.decider import Refused
from eventkit.erasure import forgotten
from eventkit.secrets import Secrets
from eventkit.service import happened_on
from eventkit.store import Transaction
from identity import codes, credentials
from identity.credentials import Credential
from identity.domain.account import ACCOUNTS, Issue, check_nothing_live, has_live_code
from identity.domain.gates import check_consent, check_entered
from identity.erasing import ERASED
from identity.projections import people_of, timezone
from identity.reissues import carry_out, check_alone

CODE_LIFETIME_DAYS = 90


@dataclass(frozen=True, slots=True)
class Issued:
    """What became of everybody asked for; the codes that were made are in it, and nowhere else."""

    credentials: tuple[identity.IssuedCredential, ...]
    expires_on: date


def issue(
    tx: Transaction,
    secrets: Secrets,
    caller: Caller,
    request: identity.IssueCredentials | identity.PrintSlips,
    named: Collection[str] | None = None,
) -> Issued:
    """Issues codes to those who pass the gates, and keeps the codes' digests; where names are needed, to those who are `named` alone.

    Raises Refused for what concerns everybody; what concerns one person stands beside that person.
    """
    zone = timezone(tx.rows, request.school)
    day, today = happened_on(request.happened_on, tx.now, zone), local_day(tx.now, zone)
    expires_on = today + timedelta(days=CODE_LIFETIME_DAYS)
    people = people_of(tx.rows, request.school, dict.fromkeys(request.people))
    replaced = {person for person in people if request.reissue and has_live_code(tx.state(ACCOUNTS, person), today)}
    if request.proposal is None:
        check_alone(replaced)
    logins = credentials.logins_of(tx, people)
    free = iter(credentials.free_logins(tx, len(people) - len(logins)))
    issued: list[Credential] = []
    answers: list[identity.IssuedCredential] = []
    for person, known in people.items():
        credential, code = new_id("k"), codes.new_code()
        try:
            if tx.state(ERASED, person):
                raise forgotten(person)
            caller.check_reach(person)
            kind = check_entered(known)
            check_consent(known)
            if not request.reissue:  # before names, which are read of nobody who has something already
                check_nothing_live(tx.state(ACCOUNTS, person), today)
            if named is not None and person not in named:
                raise Refused("person.unnamed", "Roster has not told this person's name. Ask again in a moment.")
            command = Issue(person, kind, new_id("a"), credential, today, expires_on, request.reissue)
            tx.decide(ACCOUNTS, person, command, school=request.school, happened_on=day)
        except Refused as refusal:
            text = f"{refusal.text} {refusal.hint}" if refusal.hint else refusal.text
            answers.append(identity.IssuedCredential(person=person, refused=refusal.code, text=text))
            continue
        login, digest = logins.get(person) or next(free), codes.digest(secrets, credential, code)
        issued.append(Credential(person, request.school, login, credential, digest))
        answers.append(identity.IssuedCredential(person=person, credential=credential, login=login, code=code))
    if request.proposal is not None:
        carry_out(tx, request.school, request.proposal, [one.person for one in issued if one.person in replaced], today)
    first = [one for one in issued if one.person not in logins]
    credentials.keep(tx, first, replaced=[one for one in issued if one.person in logins])
    return Issued(tuple(answers), expires_on)


def new_id(prefix: str) -> str:
    """A random id."""
    return f"{prefix}-{randomness.token_hex(10)}"
