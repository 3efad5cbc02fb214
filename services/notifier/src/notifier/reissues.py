"""Letters to the owners whose codes a bulk reissue has replaced (DOMAIN 5): one to each, for each proposal."""

from __future__ import annotations

from collections.abc import Callable

from eventkit.clock import local_day
from eventkit.event import Origin, Recorded
from eventkit.reaction import Reaction
from eventkit.service import Service
from eventkit.store import Transaction
from notifier.domain.message import MESSAGES, QueueReissueNotice, reissue_message_id
from notifier.erasing import ERASED
from notifier.outbox import reissue_notice_queued
from notifier.plain_letter import PlainLetter
from notifier.projections import place


class TellOwners(Reaction):
    """Queues a message for each of the people for whom a proposal was carried out. `wake` is called after that."""

    name = "tell-owners"
    sources = ("identity",)
    types = frozenset({"identity.reissue-carried-out.v1"})

    def __init__(self, service: Service, wake: Callable[[], None]) -> None:
        self._service = service
        self._wake = wake

    async def react(self, event: Recorded) -> None:
        because_of = Origin(event.actor, event.commandid, event.correlationid)
        caller = self._service.as_itself(event.id, because_of=because_of, causation_id=event.id)
        await self._service.carry_out(caller, lambda tx: _queue(tx, event), part="owners")
        self._wake()


def _queue(tx: Transaction, event: Recorded) -> None:
    fact = event.facts()[1]
    day = local_day(tx.now, place(tx.rows, event.school).timezone)  # of the mail, whenever the codes were replaced
    for person in fact["people"]:
        if tx.state(ERASED, person):
            continue
        message = QueueReissueNotice(reissue_message_id(event.school, person, fact["proposal"]), person, fact["proposal"])
        if tx.decide(MESSAGES, message.message, message, school=event.school, happened_on=day):
            tx.write(reissue_notice_queued(event.school, message, day))


def reissue_letter(message: str, school: str) -> PlainLetter:
    """What an owner is told. It holds neither login nor code, and no link: whoever reads it can do nothing with it."""
    return PlainLetter(
        message,
        "reissue-notice",
        "Ваш код для входа заменён / Your code was replaced",
        (
            f"{school}: ваш временный пароль, ссылка для активации или собственный пароль заменены по решению двух сотрудников школы.",
            "Прежние больше ничего не открывают. Новый временный пароль школа выдаст на бумаге, новую ссылку пришлёт отдельным письмом.",
            "Никому их не сообщайте. Если замена для вас неожиданна, спросите администратора школы.",
        ),
        (
            f"{school}: your temporary password, activation link or own password was replaced, as two people of the school decided.",
            "The old one opens nothing any more. You get a new temporary password on paper, or a new link by a mail of its own.",
            "Tell them to nobody. If you did not expect this, ask the school's administrator.",
        ),
    )
