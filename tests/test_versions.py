"""Every projection of every service is rebuilt beside the live one, is the same, and answers the same when it is live."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sqlalchemy import delete, select

from eventkit.database import Database, sqlite_url
from plan_tracker.projections import BoardProjection, fact_table
from tests import record
from tests.conftest import Lived, boards, instance
from tests.school import SCHOOL
from vekha.folder import DataFolder
from vekha.testing import Outcome, Vekha


async def test_every_projection_is_rebuilt_the_same_and_switched_to_while_all_boards_stay_what_they_are(
    lived: Lived, tmp_path: Path, vekha: Vekha
) -> None:
    data = lived.copy(tmp_path / "data")

    async def typed(*arguments: str) -> Outcome:
        return await asyncio.to_thread(vekha, "projections", *arguments, "--data", data)

    async with instance(data) as client:
        for service, projection in record.PROJECTIONS:
            rebuilt = await typed("rebuild", service, projection.name, "--json")
            assert (rebuilt.code, rebuilt.json["state"]) == (0, "same"), rebuilt.out
            assert rebuilt.json["compared"]["live"] == rebuilt.json["compared"]["rebuilt"]
            switched = await typed("switch", service, projection.name, "2")
            assert (switched.code, switched.out) == (0, f"Version 2 of {service}'s {projection.name} is live.\n")
        assert await boards(client) == lived.boards
        listed = (await typed("list", "--json")).json["projections"]
        states = {(one["service"], one["name"]): [version["state"] for version in one["versions"]] for one in listed}
        assert {states[service, projection.name] == ["live", "old"] for service, projection in record.PROJECTIONS} == {True}
        for service, projection in record.PROJECTIONS:
            assert (await typed("drop", service, projection.name, "1")).code == 0
    for service, projection in record.PROJECTIONS:
        assert record.projected(data, service, projection) == record.projected(lived.data, service, projection)


async def test_rows_that_somebody_changed_are_found_and_replaced_and_the_kept_board_with_them(
    lived: Lived, tmp_path: Path, vekha: Vekha
) -> None:
    data = lived.copy(tmp_path / "data")
    database = Database(sqlite_url(DataFolder(data).database("plan")), "plan")
    with database.writing() as connection:
        hirings = (fact_table.c.school == SCHOOL) & (fact_table.c.source == "roster") & (fact_table.c.kind == "staff")
        gone = connection.execute(select(fact_table.c.subject).where(hirings)).scalars().first()
        assert connection.execute(delete(fact_table).where(hirings, fact_table.c.subject == gone)).rowcount == 1
    database.close()

    async def typed(*arguments: str) -> Outcome:
        return await asyncio.to_thread(vekha, "projections", *arguments, "--data", data)

    async with instance(data) as client:
        assert await boards(client) != lived.boards
        rebuilt = await typed("rebuild", "plan", "board", "--json")
        assert (rebuilt.code, rebuilt.json["state"], rebuilt.json["compared"]["differing"]) == (1, "differs", 1)
        (difference,) = rebuilt.json["compared"]["differences"]
        assert (difference["table"], difference["key"]["subject"], difference["live"]) == ("fact", gone, None)
        refused = await typed("switch", "plan", "board", "2", "--json")
        assert (refused.code, refused.error["code"]) == (1, "projection.differs")
        mistyped = await typed("switch", "plan", "board", "2", "--accept", "abc", "--json")
        assert (mistyped.code, mistyped.error["code"]) == (2, "usage.invalid")
        accepted = await typed("switch", "plan", "board", "2", "--accept", rebuilt.json["compared"]["rebuilt"])
        assert accepted.code == 0
        assert await boards(client) == lived.boards
    board = BoardProjection()
    assert record.projected(data, "plan", board) == record.projected(lived.data, "plan", board)
