"""What roster destroys with a person beside the person's own rows: the files of the school's imports, but of those that came later none."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select

from consent.app import build as build_consent
from contracts import erasure, roster
from contracts.erasure import ErasureGround
from eventkit.decider import Refused
from eventkit.harness import director, running
from roster.app import build
from roster.importing.job import job_table
from roster.testing import School, child, csv_of, klass, open_school, outcome

BUILDS = {"roster": build, "consent": build_consent}
LAW = roster.LegalBasis(code="law", reference="273-FZ")


@asynccontextmanager
async def standing_still(folder: Path) -> AsyncGenerator[School]:
    """A school on a clock that stands at the same time after each start."""
    async with running(folder, BUILDS) as system:
        yield School(system)


async def erase(school: School, person: str) -> None:
    request = erasure.OrderErasure(school="school-7", person=person, ground=ErasureGround.COURT_ORDER, reference="2-77/2015")
    await school.system.settled()
    await school.system.call(erasure.ORDER_ERASURE, request, as_=director("school-7"))
    await school.system.settled()
    assert person in [event.person for event in await school.events(erasure.RosterDataErased)]


async def imports(school: School) -> list[str]:
    return [card.import_id for card in (await school.call(roster.IMPORTS)).imports]


async def jobs(school: School) -> list[dict[str, Any]]:
    service = school.system.instance.services["roster"]
    return [dict(row) for row in await service.read(lambda connection: connection.execute(select(job_table)).mappings().all())]


async def test_on_a_clock_that_stands_still_what_is_imported_after_an_erasure_outlives_the_next_starts(tmp_path: Path):
    async with standing_still(tmp_path) as school:
        await open_school(school)
        await school.imported(csv_of([klass()]))
        await school.imported(csv_of([child(1, consent_number="")]), legal_basis=LAW)
        (person,) = await school.people("pupil")
        await erase(school, person)
        assert await imports(school) == []
        later = await school.imported(csv_of([child(2, consent_number="")]), legal_basis=LAW)
        assert outcome(later) == (1, 0, 0, 0, 0)
    for _ in range(2):
        async with standing_still(tmp_path) as school:
            assert await imports(school) == [later.job]
    async with standing_still(tmp_path) as school:
        assert (await school.rolled_back(later.job)).pupils == 1


async def test_that_an_import_cannot_be_rolled_back_after_an_erasure_is_said_with_its_reason(tmp_path: Path):
    async with standing_still(tmp_path) as school:
        await open_school(school)
        await school.imported(csv_of([klass()]))
        job = (await school.imported(csv_of([child(1, consent_number="")]), legal_basis=LAW)).job
        await erase(school, (await school.people("pupil")).pop())
        for call, body, code in (
            (roster.ROLL_BACK_IMPORT, {"import_id": job}, "import.expired"),
            (roster.IMPORT_STATUS, {"job": job}, "import.unknown"),
        ):
            with pytest.raises(Refused) as refused:
                await school.call(call, **body)
            assert refused.value.code == code
            assert "or until anybody of the school is erased" in refused.value.text
            assert refused.value.hint


async def test_at_a_start_a_file_that_is_older_than_the_erasure_and_was_put_back_is_destroyed_again(tmp_path: Path):
    async with standing_still(tmp_path) as school:
        await open_school(school)
        await school.imported(csv_of([klass()]))
        await school.imported(csv_of([child(1, consent_number="")]), legal_basis=LAW)
        older = await jobs(school)
        await school.system.until("2015-08-18T10:00:00+03:00")
        await erase(school, (await school.people("pupil")).pop())
        assert (len(older), await jobs(school)) == (2, [])
        roster_service = school.system.instance.services["roster"]
        await roster_service.write(lambda connection: connection.execute(insert(job_table), older))
        assert len(await jobs(school)) == 2
    async with standing_still(tmp_path) as school:
        assert await jobs(school) == []
