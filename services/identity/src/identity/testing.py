"""For identity's tests: a town whose roster and consents say what a test wants, and the calls of steps 18 and 19 in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from itertools import groupby
from typing import Any

from contracts import identity
from contracts.consent import (
    AgeBand,
    Capacity,
    ConsentExpired,
    ConsentGranted,
    ConsentInvalidated,
    ConsentRefused,
    ConsentWithdrawn,
    InvalidationReason,
    SubjectKind,
    Terms,
)
from contracts.event import Event
from contracts.identity import Activate, HandOver, IssueCredentials, IssuedCredential
from contracts.roster import (
    GuardianLinked,
    LegalBasis,
    Position,
    PupilAssignedToClass,
    PupilEnrolled,
    Relation,
    SchoolOpened,
    Seat,
    SeatHolder,
    StaffHired,
)
from eventkit.decider import Decider
from eventkit.event import Origin, Recorded, decode
from eventkit.harness import BEGUN, System, administrator
from eventkit.store import Transaction
from eventkit.tokens import Actor

DAY = date(2015, 8, 17)
ADMINISTRATOR = administrator("school-7")


def _say(event: Event, state: None) -> Sequence[Event]:
    return [event]


SAYING: Decider[Event, None] = Decider("saying", None, _say, lambda state, event: None)


@dataclass
class Town:
    """A running instance whose roster and consent record whatever they are told to."""

    system: System

    async def says(self, *events: Event, school: str = "school-7", settled: bool = True) -> None:
        """Lets roster or consent, whichever they belong to, record events."""
        for service, told in groupby(events, lambda event: event.type.split(".")[0]):
            store = self.system.instance.services[service].store
            await store.carry_out(partial(_record, events=list(told), school=school), Origin("operator", "told", "told"))
        if settled:
            await self.system.settled()

    async def recorded(self) -> list[Recorded]:
        """All that identity has recorded."""
        return [decode(data) for _, _, data in await self.system.instance.services["identity"].store.read(BEGUN, 1000)]


def _record(tx: Transaction, events: Sequence[Event], school: str) -> None:
    for event in events:
        tx.decide(SAYING, school, event, school=school, happened_on=DAY)


def opened(school: str) -> SchoolOpened:
    return SchoolOpened(school=school, municipality="m-1", timezone="Europe/Moscow")


def enrolled(person: str, class_id: str = "5a", legal_basis: LegalBasis | None = None) -> PupilEnrolled:
    seat = Seat(class_id=class_id, number=1, holder=SeatHolder.PUPIL)
    return PupilEnrolled(person=person, seat=seat, consent_id=None, legal_basis=legal_basis, enrolled_on=DAY)


def assigned(child: str, class_id: str = "5a") -> PupilAssignedToClass:
    return PupilAssignedToClass(pupil=child, class_id=class_id)


def linked(child: str, mother: str, legal_basis: LegalBasis | None = None) -> GuardianLinked:
    return GuardianLinked(
        pupil=child, guardian=mother, relation=Relation.MOTHER, legal_representative=True, consent_id=None, legal_basis=legal_basis
    )


def hired(person: str, position: Position = Position.TEACHER) -> StaffHired:
    return StaffHired(person=person, position=position, hired_on=DAY)


def granted(subject: str, consent_id: str | None = None) -> ConsentGranted:
    return ConsentGranted(
        consent_id=consent_id or f"c-{subject}",
        supersedes=None,
        subject=subject,
        subject_kind=SubjectKind.PUPIL,
        seat=None,
        age_band=AgeBand.UNDER_14,
        grantor=None,
        capacity=Capacity.LEGAL_REPRESENTATIVE,
        terms=Terms(),
        form="paper",
        evidence_sha256=None,
        signed_on=DAY,
        valid_from=DAY,
        valid_until=None,
    )


def refused(subject: str) -> ConsentRefused:
    return ConsentRefused(
        consent_id=f"c-{subject}", supersedes=None, subject=subject, subject_kind=SubjectKind.PUPIL, seat=None, decided_on=DAY
    )


def withdrawn(subject: str) -> ConsentWithdrawn:
    return ConsentWithdrawn(consent_id=f"c-{subject}", subject=subject, subject_kind=SubjectKind.PUPIL)


def expired(subject: str) -> ConsentExpired:
    return ConsentExpired(consent_id=f"c-{subject}", subject=subject, subject_kind=SubjectKind.PUPIL)


def invalidated(subject: str, consent_id: str | None = None) -> ConsentInvalidated:
    return ConsentInvalidated(
        consent_id=consent_id or f"c-{subject}", subject=subject, subject_kind=SubjectKind.PUPIL, reason=InvalidationReason.NOT_SIGNED
    )


async def issue(
    town: Town, *people: str, as_: Actor = ADMINISTRATOR, command_id: str | None = None, **more: Any
) -> tuple[IssuedCredential, ...]:
    request = IssueCredentials(school="school-7", people=people, **more)
    return (await town.system.call(identity.ISSUE_CREDENTIALS, request, as_=as_, command_id=command_id)).credentials


async def hand_over(town: Town, *people: str, as_: Actor = ADMINISTRATOR, **more: Any) -> identity.HandedOver:
    return await town.system.call(identity.HAND_OVER, HandOver(school="school-7", people=people, **more), as_=as_)


async def activate(town: Town, login: str | None, code: str | None, **more: Any) -> identity.Activated:
    """Without a token: who knows login and code needs none."""
    calls = town.system.instance.calls(None)
    return (await calls.call(identity.ACTIVATE, Activate(login=login or "", code=code or "", **more))).reply


async def opened_account(town: Town, person: str, password: str) -> str:
    """The login of an account that its owner has activated with a password of the own."""
    (slip,) = await issue(town, person, reissue=True)
    await hand_over(town, person)
    await activate(town, slip.login, slip.code, password=password)
    return slip.login or ""


async def sign_in(town: Town, login: str, password: str, **more: Any) -> identity.SignedIn:
    """Without a token, as `activate`."""
    calls = town.system.instance.calls(None)
    return (await calls.call(identity.SIGN_IN, identity.SignIn(login=login, password=password, **more))).reply
