"""The calls that identity answers, but for those that print or ask for a login: codes issued and handed over, how far an account is, how
active a school was, and tokens."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta

from sqlalchemy import Connection

from contracts import identity, operations
from contracts.call import AnnulEntry
from contracts.roster import Done
from eventkit import log
from eventkit.annulment import Annulling
from eventkit.answering import Caller
from eventkit.calls import CallFailed
from eventkit.clock import local_day
from eventkit.decider import Refused
from eventkit.erasure import forgotten, is_forgotten
from eventkit.event import standing
from eventkit.service import Service, happened_on
from eventkit.store import Transaction
from eventkit.tokens import Actor
from identity import activity, scopes
from identity.days import since
from identity.domain.account import ACCOUNTS, HandOver
from identity.domain.rating import RATINGS
from identity.erasing import ERASED
from identity.issuing import issue
from identity.policies import Ratings
from identity.projections import Rows, people_of, timezone
from identity.signing_in import TOKEN_LIFETIME_S


def register(service: Service, ratings: Ratings) -> None:
    @service.command(identity.ISSUE_CREDENTIALS)
    def issue_credentials(request: identity.IssueCredentials, tx: Transaction, caller: Caller) -> identity.CredentialsIssuedReply:
        return identity.CredentialsIssuedReply(credentials=issue(tx, service.secrets, caller, request).credentials)

    @service.command(identity.HAND_OVER)
    def hand_over(request: identity.HandOver, tx: Transaction, caller: Caller) -> identity.HandedOver:
        day = happened_on(request.happened_on, tx.now, timezone(tx.rows, request.school))
        people = people_of(tx.rows, request.school, dict.fromkeys(request.people))
        if request.receiver is not None and len(people) > 1:
            raise Refused("receiver.for-one-only", "One receiver cannot be named for several people: record each of them alone.")
        refused: dict[str, str] = {}
        for person, known in people.items():
            receiver = request.receiver or person
            try:
                if tx.state(ERASED, person):
                    raise forgotten(person)
                caller.check_reach(person)
                if known.kind is None:
                    raise Refused("credentials.not-issued", "There is nobody under this id in this school.")
                if receiver not in (person, *known.guardians):
                    raise Refused("receiver.not-guardian", "A code goes to its owner, or a pupil's to one of the guardians.")
                command = HandOver(day, request.channel, receiver, since(request.happened_on, tx, request.school, person))
                tx.decide(ACCOUNTS, person, command, school=request.school, happened_on=day)
            except Refused as refusal:
                refused[person] = refusal.code
        return identity.HandedOver(handed_over=len(people) - len(refused), refused=refused)

    annulling = Annulling(identity.EntryAnnulled, {identity.CredentialsHandedOver: ACCOUNTS})

    @service.command(identity.ANNUL)
    def annul(request: AnnulEntry, tx: Transaction, caller: Caller) -> Done:
        timezone(tx.rows, request.school)  # refuses an unknown school
        annulling.carry_out(request, tx)
        return Done()

    @service.query(identity.ACCOUNT)
    async def account(request: identity.AccountQuery, caller: Caller) -> identity.AccountCard:
        return await service.read(lambda connection: _account(connection, request))

    @service.query(identity.NOTE_ACTIVITY)
    async def note_activity(request: identity.NoteActivity, caller: Caller) -> identity.ActivityNoted:
        people = set(request.people)
        noted = await service.write(lambda connection: _note(connection, request, people, service.clock.now()))
        if noted:
            ratings.noted(request.day)
        return identity.ActivityNoted(noted=noted, unknown=len(people) - noted)

    @service.query(identity.ACTIVITY)
    async def ratings_of_school(request: identity.ActivityQuery, caller: Caller) -> identity.ActivityRatings:
        return await service.read(lambda connection: _ratings(connection, request))

    @service.query(identity.TOKEN)
    async def token(request: identity.TokenRequest, caller: Caller) -> identity.Token:
        """Only the operator of an embedded instance has a right that covers every role; elsewhere people sign in."""
        if service.settings.production:
            raise Refused("token.production", "On a production instance nobody acts as somebody else.")
        actor = await _actor(service, request.acting_as, principal=str(caller.actor))
        minted = service.tokens.mint(actor, lifetime_s=TOKEN_LIFETIME_S, audience=request.audience)
        return identity.Token(token=minted, expires_in_s=TOKEN_LIFETIME_S)


def _account(connection: Connection, request: identity.AccountQuery) -> identity.AccountCard:
    rows = _rows(connection)
    timezone(rows, request.school)
    if is_forgotten(connection, request.person):
        raise forgotten(request.person)
    history = [one for one in standing(log.history(connection, ACCOUNTS.stream(request.person))) if one.school == request.school]
    if not history and people_of(rows, request.school, [request.person])[request.person].kind is None:
        raise Refused("person.unknown", f"There is nobody with the id {request.person} in this school.")
    account = ACCOUNTS.fold(recorded.event() for recorded in history)
    return identity.AccountCard(person=request.person, account=account.account or None, state=account.state)


def _note(connection: Connection, request: identity.NoteActivity, people: set[str], now: datetime) -> int:
    zone = timezone(_rows(connection), request.school)
    day = happened_on(request.day, now, zone)
    if day < local_day(now, zone) - timedelta(days=activity.KEPT_DAYS):
        raise Refused("activity.too-old", f"Who was active is kept for {activity.KEPT_DAYS} days: {day} is past that.")
    return activity.note(connection, request.school, day, people)


def _ratings(connection: Connection, request: identity.ActivityQuery) -> identity.ActivityRatings:
    timezone(_rows(connection), request.school)
    history = [recorded.event() for recorded in standing(log.history(connection, RATINGS.stream(request.school)))]
    rated = [event for event in history if isinstance(event, identity.SchoolActivityRated)]
    return identity.ActivityRatings(
        ratings=tuple(identity.WeekRating.model_validate(event.model_dump()) for event in reversed(rated[-request.weeks :]))
    )


async def _actor(service: Service, acting_as: str, *, principal: str) -> Actor:
    """Who somebody wants to be. Whoever was entered a moment ago counts too: a stranger is looked for again in all that roster has."""

    def find(connection: Connection) -> Actor:
        return scopes.actor(_rows(connection), acting_as, principal=principal)

    try:
        return await service.read(find)
    except Refused as refusal:
        if refusal.code == "role.unknown":
            raise
    with suppress(CallFailed):
        head = (await service.calls.call(operations.HEAD["roster"], operations.Nothing())).reply
        await service.caught_up({"roster": head.position})
    return await service.read(find)


def _rows(connection: Connection) -> Rows:
    return lambda statement: connection.execute(statement).all()
