"""Events that a projection cannot take in, at the start, in the middle and at the end: their school waits, and nothing is skipped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import Connection

from contracts import parking, plan
from eventkit.event import Recorded
from plan_tracker.projections import BoardProjection
from tests import record
from tests.conftest import Lived, instance
from tests.load import Load, settle
from tests.school import SCHOOL
from tests.survival import Survival

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]

PLACES: dict[str, Callable[[Random, int, int], int]] = {
    "start": lambda random, first, last: first,
    "middle": lambda random, first, last: random.randint(first + 1, last - 1),
    "end": lambda random, first, last: last,
}


@pytest.mark.fault("poison: an event that a projection cannot take in, at the start, in the middle, at the end")
@pytest.mark.parametrize("place", PLACES)
async def test_a_poisoned_event_holds_back_its_school_until_it_can_be_taken_in(
    lived: Lived, tmp_path: Path, survival: Survival, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    data = lived.copy(tmp_path / "data", of_first_day=True)
    begun = len(record.logs(data)["roster"])
    async with instance(data) as client:  # what is to come, recorded while the tracker stands still
        load = await Load.on(client)
        with monkeypatch.context() as broken:
            broken.setattr(BoardProjection, "apply", _failing_from(begun + 1))
            await load.run(client, limit=80)
            await settle(client)
    poison = PLACES[place](Random(place), begun + 1, len(record.logs(data)["roster"]))
    with monkeypatch.context() as broken:
        broken.setattr(BoardProjection, "apply", _failing_at(poison))
        async with instance(data) as client:
            await client.ask(parking.RETRY_PARKED["plan"], parking.RetryParked())
            await settle(client)
            board = (await client.ask(plan.STATUS, plan.StatusRequest(school=SCHOOL))).reply
            assert board.model_dump()["incomplete"] is True
            parked = (await client.ask(parking.PARKED["plan"], parking.ParkedQuery())).reply.events
            assert [event.position for event in parked if not event.waiting] == [poison]
            assert all(event.position > poison for event in parked if event.waiting)
            await load.run(client, limit=120)
    async with instance(data) as client:
        retried = (await client.ask(parking.RETRY_PARKED["plan"], parking.RetryParked())).reply
        assert retried.left == 0
        await survival.check_live(data, load)
    survival.check_stopped(data)


_apply = BoardProjection.apply


def _failing_at(position: int) -> Callable[[BoardProjection, Connection, Sequence[Recorded]], None]:
    return _failing(lambda event: event.position == position)


def _failing_from(position: int) -> Callable[[BoardProjection, Connection, Sequence[Recorded]], None]:
    return _failing(lambda event: event.position >= position)


def _failing(poisons: Callable[[Recorded], bool]) -> Callable[[BoardProjection, Connection, Sequence[Recorded]], None]:
    def apply(self: BoardProjection, connection: Connection, events: Sequence[Recorded]) -> None:
        if any(event.service == "roster" and poisons(event) for event in events):
            raise ValueError("poison")
        _apply(self, connection, events)

    return apply
