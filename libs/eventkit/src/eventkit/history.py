"""Looking back on the bus: what a log held at a time, and what it says of one school.

A projection knows the present. A question about what was known earlier reads the bus streams again, by direct gets, and
needs no right to create anything there.
"""

from __future__ import annotations

from nats.aio.client import Client

from eventkit.event import Recorded, decode
from eventkit.jetstream import JetStream


class History:
    """Reads the services' bus streams from their beginning."""

    def __init__(self, nc: Client) -> None:
        self._bus = JetStream(nc)

    async def position_known_at(self, service: str, recorded_at: str, *, head: int) -> int:
        """The last position up to `head` whose recorded_at is not later than the given one (`rfc3339` text); 0 for none.

        recorded_at never runs backwards along a log, so some twenty direct gets find it among millions.
        """
        low, high = 0, head
        while low < high:
            middle = (low + high + 1) // 2
            if await self._recorded_at(service, middle) <= recorded_at:
                low = middle
            else:
                high = middle - 1
        return low

    async def of_school(self, service: str, school: str, *, up_to: int) -> list[Recorded]:
        """The events of one school (or of none: `_`) up to a position, in order."""
        events: list[Recorded] = []
        async for batch in self._bus.read_range(service.upper(), 1, up_to, subject=f"evt.{service}.{school}.>"):
            events += [decode(data) for position, _, data in batch if position <= up_to]
        return events

    async def _recorded_at(self, service: str, position: int) -> str:
        message = await self._bus.get_message(service.upper(), position)
        if message is None:
            raise LookupError(f"the bus stream of {service} holds nothing readable at {position}")
        return decode(message[1]).recordedat
