"""One СНИЛС under two IDs: told by the preview and by the import, with who the other is, and entered all the same."""

import base64
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from consent.app import build as build_consent
from contracts import roster
from eventkit.harness import running
from roster.app import build
from roster.testing import School, child, csv_of, klass, member, open_school, outcome

NUMBER, SAME_NUMBER, OTHER_NUMBER = "112-233-445 95", "11223344595", "087-654-303 00"


@pytest.fixture
async def school(tmp_path: Path) -> AsyncIterator[School]:
    async with running(tmp_path, {"roster": build, "consent": build_consent}) as system:
        school = School(system)
        await open_school(school)
        await school.imported(csv_of([klass()]))
        await school.system.settled()
        yield school


def told(status: roster.ImportStatus) -> list[str]:
    return [warning for warning in status.warnings if "snils.repeated" in warning]


def pupil(number: int, snils: str) -> dict[str, str]:
    return {**child(number), "СНИЛС": snils}


async def test_two_rows_of_one_number_are_told_and_entered(school: School):
    file = csv_of([pupil(1, NUMBER), pupil(2, SAME_NUMBER), pupil(3, OTHER_NUMBER)])
    preview = await school.begin(file, dry_run=True)
    status = await school.imported(file)
    assert outcome(status) == (3, 0, 0, 0, 0)
    assert told(preview) == told(status)
    (warning,) = told(status)
    assert warning.startswith("school.csv, row 3, column СНИЛС: ")
    assert "the row school.csv, row 2 has this one" in warning
    assert NUMBER not in warning
    assert SAME_NUMBER not in warning


async def test_who_is_here_under_the_number_is_named_by_their_id(school: School):
    await school.imported(csv_of([pupil(1, NUMBER)]))
    (here,) = await school.people("pupil")
    (warning,) = told(await school.imported(csv_of([pupil(2, SAME_NUMBER)])))
    assert f"and {here} has this one" in warning


async def test_an_export_of_a_school_that_has_such_a_pair_changes_nothing(school: School):
    await school.imported(csv_of([pupil(1, NUMBER), pupil(2, NUMBER)]))
    made = await school.call(roster.EXPORT, format="csv")
    parts = [await school.call(roster.EXPORT_PART, export=made.export, part=number) for number in range(1, made.parts + 1)]
    status = await school.imported(b"".join(base64.b64decode(part.content) for part in parts), "school.zip")
    assert (status.created, status.updated, status.rejected_rows) == (0, 0, 0)
    assert len(told(status)) == 1


async def test_a_number_that_moves_to_another_within_one_file_is_no_repeat(school: School):
    await school.imported(csv_of([pupil(1, NUMBER)]))
    assert told(await school.imported(csv_of([pupil(2, NUMBER), pupil(1, OTHER_NUMBER)]))) == []


async def test_a_number_that_was_told_once_is_not_told_again_of_a_row_that_says_nothing_new(school: School):
    await school.imported(csv_of([pupil(1, NUMBER), pupil(2, NUMBER)]))
    assert told(await school.imported(csv_of([pupil(2, SAME_NUMBER)]))) == []


async def test_a_teacher_may_have_the_number_of_nobody_but_another_teacher_is_told(school: School):
    rows = [{**member("17"), "СНИЛС": NUMBER}, {**member("18", "Смирнова"), "СНИЛС": NUMBER}]
    await school.imported(csv_of([pupil(1, NUMBER)]))
    status = await school.imported(csv_of(rows))
    assert outcome(status) == (2, 0, 0, 0, 0)
    assert ["row 3" in warning for warning in told(status)] == [True]


async def test_twins_of_one_number_are_compared_as_twins_and_told_once(school: School):
    status = await school.imported(csv_of([pupil(1, NUMBER), {**pupil(2, NUMBER), "Имя": child(1)["Имя"]}]))
    assert (status.review, told(status)) == (1, [])
