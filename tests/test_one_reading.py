"""The services of an instance read each bus stream together, once."""

from __future__ import annotations

from datetime import date

import pytest

from contracts import SERVICES
from contracts.plan import ADOPT_PLAN, STATUS, AdoptPlan, StatusRequest
from contracts.roster import OPEN_SCHOOL, OpenSchool
from eventkit.jetstream import JetStream
from tests.conftest import instance
from tests.school import SCHOOL


async def test_all_readers_of_an_instance_are_handed_one_reading_of_each_stream(tmp_path_factory: pytest.TempPathFactory) -> None:
    async with instance(tmp_path_factory.mktemp("one") / "data") as client:
        await client.ask(OPEN_SCHOOL, OpenSchool(school=SCHOOL, name="Школа № 7", municipality="mytishchi"))
        await client.ask(ADOPT_PLAN, AdoptPlan(school=SCHOOL, start=date(2015, 8, 17)), up_to_date=True)
        assert (await client.ask(STATUS, StatusRequest(school=SCHOOL), up_to_date=True)).reply.steps
        bus = JetStream(client.nc)
        for service in SERVICES:
            head = await bus.last_sequence(service.upper())
            listed = await bus.ask(f"CONSUMER.LIST.{service.upper()}")
            read = {one["name"]: one["delivered"]["stream_seq"] for one in listed["consumers"]}
            assert (read.keys(), read["instance-readers"]) == ({"instance-readers", "instance-behind"}, head)
