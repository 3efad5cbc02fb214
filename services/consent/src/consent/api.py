"""The calls that consent answers: decisions recorded, alone and in lists, withdrawn and invalidated, and how things stand."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, select

from consent import registry
from consent.domain import CONSENTS, Consents, Invalidate, Withdraw
from consent.projections import person_table, timezone
from consent.registry import Registry, consent_table
from contracts import consent
from contracts.call import Role
from contracts.consent import Capacity, ConsentGranted
from eventkit import log
from eventkit.answering import Caller
from eventkit.decider import Refused
from eventkit.rehearsal import Rehearsal
from eventkit.service import Service, Settings, happened_on
from eventkit.store import Transaction

_REPRESENTED = Capacity.LEGAL_REPRESENTATIVE


def register(service: Service) -> None:
    @service.command(consent.RECORD_DECISION)
    def record_decision(request: consent.RecordDecision, tx: Transaction, caller: Caller) -> consent.DecisionRecorded:
        registry = Registry(tx, service.settings, caller, request.school, [request.decision])
        recorded = registry.record(request.decision, request.happened_on, as_named=True)
        registry.write(tx)
        return recorded

    @service.command(consent.RECORD_DECISIONS)
    def record_decisions(request: consent.RecordDecisions, tx: Transaction, caller: Caller) -> consent.DecisionsRecorded:
        registry = Registry(tx, service.settings, caller, request.school, request.decisions)
        # An import, which a service makes, knows no better seat; whoever lists decisions by hand does.
        as_named = caller.actor.role is not Role.SERVICE
        outcomes = [_outcome(lambda one=one: registry.record(one, request.happened_on, as_named=as_named)) for one in request.decisions]
        registry.write(tx)
        return consent.DecisionsRecorded(outcomes=tuple(outcomes))

    @service.query(consent.JUDGE_DECISIONS)
    async def judge_decisions(request: consent.JudgeDecisions, caller: Caller) -> consent.DecisionsJudged:
        return await service.read(lambda connection: _judged(Rehearsal(connection, service.clock.now()), service.settings, caller, request))

    @service.command(consent.WITHDRAW)
    def withdraw(request: consent.Withdraw, tx: Transaction, caller: Caller) -> consent.Withdrawn:
        day = happened_on(request.happened_on, tx.now, timezone=timezone(tx.rows, request.school))
        subject = registry.subject_of(tx, request.school, request.consent_id)
        _check_represented(tx, caller, request.consent_id, subject)
        tx.decide(CONSENTS, subject, Withdraw(request.consent_id, day), school=request.school, happened_on=day)
        return consent.Withdrawn(consent_id=request.consent_id, subject=subject)

    @service.command(consent.INVALIDATE)
    def invalidate(request: consent.Invalidate, tx: Transaction, caller: Caller) -> consent.Invalidated:
        timezone(tx.rows, request.school)
        subject, _ = _invalidate(tx, request.school, request.consent_id, request.reason)
        return consent.Invalidated(consent_id=request.consent_id, subject=subject)

    @service.command(consent.INVALIDATE_DECISIONS)
    def invalidate_decisions(request: consent.InvalidateDecisions, tx: Transaction, caller: Caller) -> consent.DecisionsInvalidated:
        timezone(tx.rows, request.school)
        done = [_invalidate(tx, request.school, consent_id, request.reason) for consent_id in dict.fromkeys(request.consent_ids)]
        if request.reason is consent.InvalidationReason.RECORDED_BY_MISTAKE:
            for subject in sorted({subject for subject, _ in done}):
                if all(one.state == "invalidated" for one in tx.state(CONSENTS, subject)):
                    registry.release_seats(tx, subject)
        return consent.DecisionsInvalidated(invalidated=sum(is_new for _, is_new in done))

    @service.query(consent.STATUS)
    async def status(request: consent.StatusQuery, caller: Caller) -> consent.ConsentStatus:
        if (request.subject is None) == (request.consent_id is None):
            raise Refused("status.subject-unclear", "Say whose decisions: either a subject or a consent_id, not both.")
        return await service.read(lambda connection: _status(connection, request))


def _outcome(record: Callable[[], consent.DecisionRecorded]) -> consent.DecisionOutcome:
    try:
        done = record()
    except Refused as refusal:
        return consent.DecisionOutcome(code=refusal.code, text=refusal.text)
    return consent.DecisionOutcome(consent_id=done.consent_id, subject=done.subject, recorded_before=done.recorded_before)


def _judged(rehearsal: Rehearsal, settings: Settings, caller: Caller, request: consent.JudgeDecisions) -> consent.DecisionsJudged:
    """What would become of decisions. The ids of who would be new are nobody's, so they are not told."""
    registry = Registry(rehearsal, settings, caller, request.school, request.decisions)
    outcomes = [_outcome(lambda one=one: registry.judge(one, None)) for one in request.decisions]
    known = [one if one.code or one.consent_id in registry.known_before else consent.DecisionOutcome() for one in outcomes]
    return consent.DecisionsJudged(outcomes=tuple(known))


def _check_represented(tx: Transaction, caller: Caller, consent_id: str, subject: str) -> None:
    """A guardian takes back for a child what a representative has said, and a pupil only what no representative has.

    That the guardian is one of this child's is the caller's reach.
    """
    person, role = caller.actor.scope or "", caller.actor.role
    if role not in (Role.GUARDIAN, Role.PUPIL) or (role is Role.GUARDIAN and person == subject):
        return
    decided = next(one.decided for one in tx.state(CONSENTS, subject) if one.decided.consent_id == consent_id)
    is_represented = isinstance(decided, ConsentGranted) and decided.capacity is _REPRESENTED
    if is_represented is not (role is Role.GUARDIAN):
        text = "A legal representative takes back what was said for a pupil under 18. What a pupil has said from 18 on, the pupil does."
        raise Refused("consent.not-represented", text, "The school's administrator records a withdrawal on paper.")


def _invalidate(tx: Transaction, school: str, consent_id: str, reason: consent.InvalidationReason) -> tuple[str, bool]:
    """Whose decision it was, and whether this is news of it. Raises Refused `consent.unknown`."""
    subject = registry.subject_of(tx, school, consent_id)
    of_decision = next(one.decided_on for one in tx.state(CONSENTS, subject) if one.decided.consent_id == consent_id)
    is_new = bool(tx.decide(CONSENTS, subject, Invalidate(consent_id, reason), school=school, happened_on=of_decision))
    if is_new:
        registry.release_number(tx, school, consent_id)
    return subject, is_new


def _status(connection: Connection, request: consent.StatusQuery) -> consent.ConsentStatus:
    timezone(lambda statement: connection.execute(statement).all(), request.school)
    chosen = consent_table.c.subject == request.subject if request.subject else consent_table.c.consent_id == request.consent_id
    found = connection.execute(select(consent_table.c.subject).where(consent_table.c.school == request.school, chosen)).first()
    if found is None and request.subject is None:
        raise Refused("consent.unknown", f"There is no decision {request.consent_id} in this school.")
    if found is None:
        entered = (person_table.c.school == request.school) & (person_table.c.person == request.subject)
        if connection.execute(select(person_table.c.person).where(entered)).first() is None:
            text = f"There is nobody with the id {request.subject} in this school."
            raise Refused("person.unknown", text, "roster.people tells the ids, and a recorded decision that of its subject.")
        return consent.ConsentStatus(consents=())
    consents: Consents = CONSENTS.fold(recorded.event() for recorded in log.history(connection, CONSENTS.stream(found.subject)))
    return consent.ConsentStatus(
        consents=tuple(
            consent.ConsentCard(
                consent_id=one.decided.consent_id,
                subject=one.decided.subject,
                subject_kind=one.decided.subject_kind,
                seat=one.decided.seat,
                state=one.state,
                decided_on=one.decided_on,
                valid_until=one.valid_until,
            )
            for one in consents
            if request.consent_id in (None, one.decided.consent_id)
        )
    )
