"""What was known at a time: in each log, the last position that was recorded by then (DESIGN 2.6).

Facts keep their positions, so this is all that a board of what was known needs: it leaves out the facts beyond.
"""

from contracts import SERVICES
from eventkit.decider import Refused
from eventkit.history import History
from eventkit.jetstream import BusError, JetStream
from eventkit.service import Service


async def positions_known_at(service: Service, recorded_at: str) -> dict[str, int]:
    """The positions by service, once this service's own readers have them. `recorded_at` as `rfc3339` writes it.

    Raises Refused `known-at.not-available` where the bus does not tell, `reader.not-caught-up` where we have not read that far.
    """
    bus, history = JetStream(service.nc), History(service.nc)
    known: dict[str, int] = {}
    try:
        for source in SERVICES:
            head = await bus.last_sequence(source.upper())
            known[source] = await history.position_known_at(source, recorded_at, head=head)
    except BusError as error:
        raise Refused("known-at.not-available", "The bus does not tell what was recorded by then.", "`vekha doctor` says more.") from error
    await service.caught_up(known)
    return known
