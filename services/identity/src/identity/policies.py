"""What ends an account: a consent withdrawn, a pupil gone, a member of staff dismissed (DOMAIN 3)."""

from __future__ import annotations

from datetime import date

from sqlalchemy import select

from eventkit.event import Origin, Recorded
from eventkit.service import Service
from eventkit.store import Transaction
from identity.domain import ACCOUNTS, Block, BlockReason
from identity.projections import consent_table

_REASONS: dict[str, BlockReason] = {
    "consent.consent-withdrawn.v1": "consent-withdrawn",
    "roster.pupil-left.v1": "left",
    "roster.staff-dismissed.v1": "dismissed",
}


class BlockAccounts:
    """Blocks the account of whoever has lost the ground for having one."""

    name = "block-accounts"
    sources = ("roster", "consent")
    types = frozenset(_REASONS)

    def __init__(self, service: Service) -> None:
        self._service = service

    async def react(self, event: Recorded) -> None:
        # Once the gates know of it, every account issued before is in the record and none is issued after.
        await self._service.caught_up({event.service: event.position})
        because_of = Origin(event.actor, event.commandid, event.correlationid)
        caller = self._service.as_itself(event.id, because_of=because_of, causation_id=event.id)
        await self._service.carry_out(caller, lambda tx: block(tx, event), part="block")


def block(tx: Transaction, event: Recorded) -> None:
    """Blocks the account of the person an event is about, if there is one. A consent given anew in the meantime keeps it."""
    type_name, fact = event.facts()
    reason = _REASONS[type_name]
    if reason == "consent-withdrawn":
        person: str = fact["subject"]
        of_person = (consent_table.c.school == event.school) & (consent_table.c.subject == person)
        stands = tx.rows(select(consent_table.c.state, consent_table.c.consent_id).where(of_person))
        if any(row.state == "granted" and row.consent_id != fact["consent_id"] for row in stands):
            return
    else:
        person = fact["person"]
    tx.decide(ACCOUNTS, person, Block(reason), school=event.school, happened_on=date.fromisoformat(event.happenedon))
