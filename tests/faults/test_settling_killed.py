"""`kill -9` while a row that an import has put aside is entered: the next start ends it, and nothing is there twice."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from contracts import roster
from contracts.roster import SettledAs
from roster.testing import child, csv_of, klass, parent, zip_of
from tests import record
from tests.load import check_running, check_stopped
from tests.school import SCHOOL, START
from vekha.client import Client, Target, connected
from vekha.failures import Failure
from vekha.folder import DataFolder
from vekha.importing import hand_in
from vekha.testing import running

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240), pytest.mark.fault("kill -9 while a row that was put aside is settled")]

FIRST, TWIN = child(1, "Ёлкин", "Пётр"), {**child(2, "Ёлкин", "Пётр", **{"E-mail": "petr@example.org"}), **parent(1)}


async def imported(client: Client, name: str, content: bytes) -> None:
    await hand_in(client, SCHOOL, name, content, on_progress=lambda done, total: None)


@pytest.mark.parametrize("point", ["settling.after-id", "settling.after-row"])
async def test_a_row_whose_settling_was_cut_off_is_settled_after_the_restart(tmp_path: Path, point: str) -> None:
    data = tmp_path / "data"
    with running(data, "--manual-clock", START, environment={"VEKHA_FAULT": point}) as up:
        async with connected(Target(DataFolder(data))) as client:
            await client.ask(roster.OPEN_SCHOOL, roster.OpenSchool(school=SCHOOL, name="Школа", municipality="mytishchi"))
            await imported(client, "first.zip", zip_of(classes=[klass(pupils="2")], pupils=[FIRST]))
            await imported(client, "twin.csv", csv_of([TWIN]))
            (card,) = (await client.ask(roster.REVIEWS, roster.ReviewsQuery(school=SCHOOL))).reply.reviews
            same = roster.SettleReview(school=SCHOOL, review=card.review, settled_as=SettledAs.SAME, person=card.near[0])
            with suppress(Failure):  # it dies before it can answer
                await client.ask(roster.SETTLE_REVIEW, same)
            assert await asyncio.to_thread(up.process.wait, 60) == -signal.SIGKILL
    with running(data) as up:
        async with connected(Target(DataFolder(data))) as client:
            status = (await client.ask(roster.SETTLE_REVIEW, same)).reply
            while status.state == "settling":
                status = (await client.ask(roster.SETTLE_REVIEW, same)).reply
            assert (status.state, status.person, status.rejected) == ("settled", card.near[0], ())
            person = await client.ask(roster.PERSON, roster.PersonQuery(school=SCHOOL, person=card.near[0]))
            assert person.reply.details.email == "petr@example.org"
            await check_running(client, data)
        assert up.end() == 0
    told = [event.type for event in record.events(record.logs(data)["roster"])]
    once = ("pupil-enrolled", "guardian-linked", "import-review-settled")
    assert [told.count(f"roster.{name}.v1") for name in once] == [1, 1, 1]
    assert told.count("roster.person-details-changed.v1") == 2  # the ID, and the address
    check_stopped(data, tmp_path)
