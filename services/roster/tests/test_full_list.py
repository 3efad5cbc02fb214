"""A file that is declared to be a whole list: who is missing from it leaves, and beyond one in twenty not before somebody confirms it."""

import csv
import io
import zipfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from consent.app import build as build_consent
from contracts import roster
from contracts.roster import ImportStatus, LegalBasis
from eventkit.harness import running
from roster.app import build
from roster.testing import School, child, csv_of, klass, member, open_school, zip_of

BUILDS = {"roster": build, "consent": build_consent}
SAMPLES = Path(__file__).parents[1] / "samples"
LAW = LegalBasis(code="law", reference="273-FZ")
PUPILS = [child(number) for number in range(1, 22)]


@pytest.fixture
async def school(tmp_path: Path) -> AsyncIterator[School]:
    async with running(tmp_path, BUILDS) as system:
        school = School(system)
        await open_school(school)
        await school.imported(zip_of(classes=[klass()], staff=[member()], pupils=PUPILS))
        yield school


def packed(files: Mapping[str, str]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in files.items():
            archive.writestr(f"{name}.csv", text)
    return content.getvalue()


async def ended(school: School, content: bytes, **more: Any) -> ImportStatus:
    return await school.ended((await school.begin(content, full_list=True, **more)).job)


async def test_who_is_missing_from_a_full_list_leaves_and_from_any_other_nobody(school: School):
    assert (await school.imported(csv_of(PUPILS[1:]))).leaving == 0
    assert await school.events(roster.PupilLeft) == []
    preview = await ended(school, csv_of(PUPILS[1:]), dry_run=True)
    assert (preview.state, preview.leaving, len(await school.people("pupil"))) == ("done", 1, 21)
    status = await ended(school, csv_of(PUPILS[1:]))
    (left,) = await school.events(roster.PupilLeft)
    assert (status.leaving, status.warnings) == (1, (f"{left.person} is missing from the list, and leaves (row.missing)",))
    assert len(await school.people("pupil")) == 20
    assert len(await school.people("staff")) == 1  # of whom the list says nothing
    assert (await ended(school, csv_of(PUPILS[1:]))).leaving == 0


async def test_more_than_one_in_twenty_leave_only_when_their_number_is_confirmed(school: School):
    refused = await ended(school, csv_of(PUPILS[2:]))
    assert (refused.state, refused.error_code) == ("failed", "list.too-many-missing")
    assert "2 of 21 pupils" in (refused.error_text or "")
    assert (await ended(school, csv_of(PUPILS[2:]), missing=1)).error_code == "list.other-missing"
    assert len(await school.people("pupil")) == 21
    assert (await ended(school, csv_of(PUPILS[2:]), missing=2)).leaving == 2
    assert len(await school.people("pupil")) == 19


async def test_a_list_of_which_rows_cannot_be_read_is_not_whole(school: School):
    broken = {**PUPILS[0], "Дата рождения": "когда-то"}
    assert (await ended(school, csv_of([broken, *PUPILS[1:]]))).error_code == "list.not-whole"
    assert (await ended(school, csv_of([klass()]))).error_code == "list.not-whole"
    assert await school.events(roster.PupilLeft) == []


@pytest.mark.parametrize(
    ("name", "column", "cell"),
    [("demographics", "birthDate", "13/12/2004"), ("enrollments", "beginDate", "9/1/2015"), ("users", "email", "?")],
)
async def test_an_export_of_which_a_row_of_any_file_cannot_be_read_is_not_whole(school: School, name: str, column: str, cell: str):
    files = {path.stem: path.read_text("utf-8") for path in (SAMPLES / "oneroster-1.1").glob("*.csv")}
    assert (await school.imported(packed(files), "export.zip", legal_basis=LAW)).rejected_rows == 0
    people = await school.people("pupil")
    rows = list(csv.DictReader(io.StringIO(files[name])))
    wrong = next(row for row in rows if row.get("role", "student") == "student" and row[column])
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, rows[0])
    writer.writeheader()
    writer.writerows([*(row for row in rows if row is not wrong), {**wrong, column: cell}])
    status = await ended(school, packed({**files, name: text.getvalue()}), legal_basis=LAW, missing=23)
    assert status.error_code == "list.not-whole"
    assert await school.people("pupil") == people


async def test_who_may_stand_in_the_list_under_another_id_does_not_leave(school: School):
    status = await ended(school, csv_of([{**PUPILS[0], "ID": "У-100", "Согласие №": "С-100"}, *PUPILS[1:]]))
    assert (status.review, status.leaving) == (1, 0)


async def test_a_list_in_which_ids_are_those_of_others_is_not_whole(school: School):
    other = child(1, "Третий", "Пётр", **{"Дата рождения": "05.05.2008"})
    assert (await ended(school, csv_of([other, *PUPILS[2:]]), missing=1)).error_code == "list.not-whole"
    assert await school.events(roster.PupilLeft) == []


async def test_a_roll_back_has_those_here_again_who_had_left_by_a_full_list(school: School):
    people = await school.people("pupil")
    job = (await ended(school, zip_of(pupils=PUPILS[1:], staff=[member("18", "Смирнова")]), missing=2)).job
    assert len(await school.people("pupil")) == 20
    await school.system.settled()
    status = await school.rolled_back(job)
    assert (status.put_back, status.staff, status.left_total) == (2, 1, 0)
    assert await school.people("pupil") == people
    assert (await school.imported(zip_of(pupils=PUPILS, staff=[member()]))).unchanged == 22
