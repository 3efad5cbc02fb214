"""The calls around activation links: made and mailed, taken once by whoever mails them, followed on their way, revoked, and used."""

from __future__ import annotations

from functools import partial

from sqlalchemy import Connection

from contracts import identity, roster
from contracts.roster import Done
from eventkit.answering import Caller
from eventkit.clock import local_day
from eventkit.decider import Refused
from eventkit.service import Commit, Service, happened_on
from eventkit.store import Transaction
from identity import links, passwords, slips
from identity.days import since
from identity.domain.account import ACCOUNTS, Activate, Dispatch, Return, Revoke
from identity.domain.gates import check_still_here
from identity.hashing import Hashing
from identity.links import ForgetLinks, Prepared
from identity.projections import Rows, people_of, timezone


def register(service: Service, forgetting: ForgetLinks, hashing: Hashing) -> None:
    page = slips.page_address(service.settings.activation_page, production=service.settings.production)

    @service.command_in_steps(identity.MAIL_LINKS)
    async def mail_links(request: identity.MailLinks, caller: Caller, commit: Commit[identity.MailedLinks]) -> identity.MailedLinks:
        if page is None:
            raise _no_page()
        query = roster.PersonsQuery(school=request.school, people=request.people)
        with_address = {*(await service.calls.call(roster.WITH_ADDRESS, query, origin=caller.origin)).reply.people}
        made: list[Prepared] = []

        def work(tx: Transaction) -> identity.MailedLinks:
            made[:] = [links.prepare(tx, service.secrets, caller, request, with_address)]
            return made[0].reply

        carried = await commit(work)
        if made and made[0].until is not None:
            forgetting.prepared(made[0].until)
        return carried.reply

    @service.query(identity.TAKE_LINK)
    async def take_link(request: identity.TakeLink, caller: Caller) -> identity.TakenLink:
        service.require_appending()
        if page is None:
            raise _no_page()
        taking = partial(links.take, secrets=service.secrets, page=page, request=request, now=service.clock.now())
        return await service.write(taking)

    @service.command(identity.RECORD_MAILING)
    def record_mailing(request: identity.RecordMailing, tx: Transaction, caller: Caller) -> Done:
        told = happened_on(request.happened_on, tx.now, timezone(tx.rows, request.school))
        # Clocks may differ at midnight: no mail goes out before its link was made.
        day = max(told, since(request.happened_on, tx, request.school, request.person))
        bounced = request.outcome == "bounced"
        command = Return(request.credential) if bounced else Dispatch(request.credential, request.message)
        if tx.decide(ACCOUNTS, request.person, command, school=request.school, happened_on=day) and bounced:
            links.forsake(tx, request.person)
        return Done()

    @service.command(identity.REVOKE_CREDENTIALS)
    def revoke_credentials(request: identity.RevokeCredentials, tx: Transaction, caller: Caller) -> identity.RevokedCredentials:
        day = happened_on(request.happened_on, tx.now, timezone(tx.rows, request.school))
        people = people_of(tx.rows, request.school, dict.fromkeys(request.people))
        refused: dict[str, str] = {}
        already: list[str] = []
        for person, known in people.items():
            try:
                if known.kind is None:
                    raise Refused("credentials.not-issued", "There is nobody under this id in this school.")
                if tx.state(ACCOUNTS, person).state == "provisioned":
                    already.append(person)
                    continue
                command = Revoke(request.reason, day, since(request.happened_on, tx, request.school, person))
                tx.decide(ACCOUNTS, person, command, school=request.school, happened_on=day)
                links.forsake(tx, person)
            except Refused as refusal:
                refused[person] = refusal.code
        return identity.RevokedCredentials(revoked=len(people) - len(refused) - len(already), already=tuple(already), refused=refused)

    @service.command_in_steps(identity.ACTIVATE_LINK)
    async def activate_link(request: identity.ActivateLink, caller: Caller, commit: Commit[identity.Activated]) -> identity.Activated:
        found = await service.read(lambda connection: links.shown(_rows(connection), service.secrets, request.token))
        encoded = await passwords.chosen(
            hashing, request.password, needed=service.settings.production, unlike=(found.login,) if found.login else ()
        )

        def work(tx: Transaction) -> identity.Activated:
            today = local_day(tx.now, timezone(tx.rows, found.school))
            check_still_here(people_of(tx.rows, found.school, [found.person])[found.person])
            tx.decide(ACCOUNTS, found.person, Activate(found.credential, today), school=found.school, happened_on=today)
            if encoded is not None:
                passwords.keep(tx, found.person, encoded, school=found.school, today=today)
            return identity.Activated(account=tx.state(ACCOUNTS, found.person).account, person=found.person)

        return (await commit(work)).reply


def _rows(connection: Connection) -> Rows:
    return lambda statement: connection.execute(statement).all()


def _no_page() -> Refused:
    return Refused("links.no-page", "There is no page yet on which links are opened.", "VEKHA_ACTIVATION_PAGE tells its address.")
