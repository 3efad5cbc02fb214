"""OneRoster deltas: changes alone, laid over what a whole export has entered; and exports of another school, which are noticed."""

import asyncio
import base64
import csv
import io
import itertools
import json
import re
import zipfile
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from consent.app import build as build_consent
from contracts import roster
from contracts.call import CALLS, Call
from contracts.event import Event
from contracts.roster import ImportStatus, LegalBasis
from eventkit.event import decode
from eventkit.harness import BEGUN, System, administrator, director, running
from roster.app import build

BUILDS = {"roster": build, "consent": build_consent}
SAMPLES = Path(__file__).parents[1] / "samples"
LAW = LegalBasis(code="law", reference="273-FZ")

Row = Mapping[str, str]

_uploads = itertools.count(1)


@dataclass
class School:
    """A school, into which a whole export was imported, and the changes that follow."""

    system: System
    version: str
    school: str = "school-7"

    async def call(self, call: Call[Any, Any], **body: Any) -> Any:
        request = call.request.model_validate({"school": self.school, **body})
        role = administrator if administrator(self.school).role in call.allowed else director
        return await self.system.call(call, request, as_=role(self.school))

    async def ended(self, content: bytes, org: str | None = None) -> ImportStatus:
        upload, text = f"u-{next(_uploads)}", base64.b64encode(content).decode()
        await self.call(roster.UPLOAD, upload=upload, part=1, parts=1, file_name="export.zip", content=text)
        status = await self.call(roster.IMPORT, upload=upload, legal_basis=LAW, org=org)
        while status.state == "running":
            await asyncio.sleep(0.01)
            status = await self.call(roster.IMPORT_STATUS, job=status.job)
        return status

    async def changed(self, **files: Sequence[Row]) -> ImportStatus:
        status = await self.ended(delta(self.version, **files))
        assert status.state == "done", (status.error_code, status.error_text)
        return status

    async def events(self, kind: type[Event]) -> list[Any]:
        store = self.system.instance.services["roster"].store
        recorded = [decode(data) for _, _, data in await store.read(BEGUN, 100_000)]
        return [one.event() for one in recorded if one.type == kind.type]

    async def recorded(self) -> int:
        return await self.system.instance.services["roster"].store.head()

    async def people(self, kind: str) -> set[str]:
        return set((await self.call(roster.PEOPLE, kind=kind)).people)


def bulk(version: str, **changed: tuple[str, str]) -> bytes:
    """The sample export, with a text replaced in the files that are named."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path in sorted((SAMPLES / f"oneroster-{version}").glob("*.csv")):
            archive.writestr(path.name, path.read_text("utf-8").replace(*changed.get(path.stem, ("", ""))))
    return content.getvalue()


def delta(version: str, mode: str = "delta", /, **files: Sequence[Row]) -> bytes:
    """An archive of changes: each file has the sample's columns."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        manifest = [["propertyName", "value"], ["manifest.version", "1.0"], ["oneroster.version", version]]
        for name, rows in files.items():
            titles = next(csv.reader((SAMPLES / f"oneroster-{version}" / f"{name}.csv").open(encoding="utf-8", newline="")))
            text = io.StringIO(newline="")
            writer = csv.DictWriter(text, titles, restval="", extrasaction="ignore")
            writer.writeheader()
            writer.writerows({"status": "active", "dateLastModified": "2015-09-02T04:00:00.000Z", **row} for row in rows)
            archive.writestr(f"{name}.csv", text.getvalue())
            manifest.append([f"file.{name}", mode])
        text = io.StringIO(newline="")
        csv.writer(text).writerows(manifest)
        archive.writestr("manifest.csv", text.getvalue())
    return content.getvalue()


def sample(version: str, file: str) -> list[dict[str, str]]:
    return list(csv.DictReader((SAMPLES / f"oneroster-{version}" / f"{file}.csv").open(encoding="utf-8", newline="")))


def outcome(status: ImportStatus) -> tuple[int, int, int, int, int]:
    return (status.created, status.updated, status.unchanged, status.review, status.rejected_rows)


async def opened(system: System, version: str = "1.1", school: str = "school-7") -> School:
    await system.call(roster.OPEN_SCHOOL, roster.OpenSchool(school=school, name="Школа № 7", municipality="dubna"))
    await system.settled()
    return School(system, version, school)


@pytest.fixture(params=["1.1", "1.2"])
async def school(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[School]:
    async with running(tmp_path, BUILDS, now="2015-09-03T09:00:00+03:00") as system:
        school = await opened(system, request.param)
        assert outcome(await school.ended(bulk(request.param))) == (32, 0, 0, 0, 0)
        yield school


PUPIL, CLASSMATE = "У0262", "У0263"
DELETED = {"status": "tobedeleted"}


def user(school: School, sourced_id: str) -> dict[str, str]:
    return next(row for row in sample(school.version, "users") if row["sourcedId"] == sourced_id)


def enrollment(school: School, user_id: str, begins: str = "class-5") -> dict[str, str]:
    rows = sample(school.version, "enrollments")
    return next(row for row in rows if row["userSourcedId"] == user_id and row["classSourcedId"].startswith(begins))


# -- what is active ------------------------------------------------------------------------------------------------------------------------


async def test_a_change_of_one_person_changes_that_person_alone(school: School):
    before = await school.recorded()
    status = await school.changed(users=[{**user(school, PUPIL), "middleName": "Новое", "status": "active"}])
    assert (outcome(status), status.total_rows) == ((0, 1, 0, 0, 0), 1)
    assert [event.fields for event in await school.events(roster.PersonDetailsChanged)] == [("patronymic",)]
    assert await school.recorded() == before + 2  # and that the import was completed
    again = await school.changed(users=[{**user(school, PUPIL), "middleName": "Новое", "status": "active"}])
    assert outcome(again) == (0, 0, 1, 0, 0)


async def test_a_file_of_changes_may_be_empty(school: School):
    before = await school.recorded()
    assert outcome(await school.changed(users=[], enrollments=[])) == (0, 0, 0, 0, 0)
    assert await school.recorded() == before + 1


async def test_a_pupil_whose_enrollment_is_deleted_and_made_elsewhere_moves(school: School):
    old = enrollment(school, PUPIL)
    assert old["classSourcedId"] == "class-5А"
    new = {**old, "sourcedId": "new", "classSourcedId": "class-5Б", "beginDate": "2015-09-02", "status": "active"}
    status = await school.changed(enrollments=[{**old, **DELETED}, new])
    assert outcome(status)[:2] in {(0, 1), (0, 2)}  # the pupil, and a class that has one more than was declared
    assert status.review == status.rejected_rows == 0
    cards = {card.class_id: card.letter for card in (await school.call(roster.CLASSES)).classes}
    moved = (await school.events(roster.PupilAssignedToClass))[-1]
    assert cards[moved.class_id] == "Б"


async def test_a_newcomer_comes_with_a_family_of_whom_one_is_known(school: School):
    agents = user(school, PUPIL)["agentSourcedIds"].split(",")
    here = {"orgSourcedIds": "org-school", "primaryOrgSourcedId": "org-school", "enabledUser": "true", "username": "n"}
    new = {"sourcedId": "N-1", "givenName": "Лев", "familyName": "Новый", "role": "student", "agentSourcedIds": f"{agents[0]},N-2", **here}
    father = {"sourcedId": "N-2", "givenName": "Глеб", "familyName": "Новый", "role": "parent", **here}
    files: dict[str, list[Row]] = {
        "users": [new, father],
        "demographics": [{"sourcedId": "N-1", "birthDate": "2004-05-06", "sex": "male"}, {"sourcedId": "N-2", "sex": "male"}],
        "enrollments": [
            {"sourcedId": "n", "classSourcedId": "class-5А", "userSourcedId": "N-1", "role": "student", "schoolSourcedId": "org-school"}
        ],
    }
    if school.version == "1.2":
        files["roles"] = [
            {"sourcedId": f"r-{row['sourcedId']}", "userSourcedId": row["sourcedId"], "role": row["role"], "orgSourcedId": "org-school"}
            for row in (new, father)
        ]
    status = await school.changed(**files)
    assert (status.created, status.rejected) == (1, ())
    assert (len(await school.people("pupil")), len(await school.people("guardian"))) == (25, 48)
    assert outcome(await school.changed(**files))[0] == 0


async def test_a_new_class_and_its_teacher_are_entered_and_known_to_the_next_changes(school: School):
    klass = {"sourcedId": "class-5В", "title": "5В", "grades": "05", "classType": "homeroom", "schoolSourcedId": "org-school"}
    teacher = enrollment(school, "115")
    status = await school.changed(
        classes=[{**klass, "termSourcedIds": "year"}],
        enrollments=[{**teacher, "sourcedId": "t", "classSourcedId": "class-5В", "status": "active"}],
    )
    assert (status.created, status.rejected) == (1, ())
    cards = {card.letter: card for card in (await school.call(roster.CLASSES)).classes}
    assert cards["В"].academic_year == "2015/2016"
    assert cards["В"].teacher == cards["А"].teacher
    moved = await school.changed(
        enrollments=[{**enrollment(school, PUPIL), "sourcedId": "m", "classSourcedId": "class-5В", "status": "active"}]
    )
    assert (moved.updated >= 1, moved.rejected) == (True, ())
    assert (await school.events(roster.PupilAssignedToClass))[-1].class_id == cards["В"].class_id


async def test_another_class_teacher_takes_the_place_of_the_one_before(school: School):
    cards = {card.letter: card.teacher for card in (await school.call(roster.CLASSES)).classes}
    other = next(row for row in sample(school.version, "enrollments") if row["role"] == "teacher" and row["classSourcedId"] == "class-5Б")
    status = await school.changed(enrollments=[{**other, "sourcedId": "t", "classSourcedId": "class-5А", "status": "active"}])
    assert (status.updated, status.rejected) == (1, ())
    assert {card.letter: card.teacher for card in (await school.call(roster.CLASSES)).classes}["А"] == cards["Б"]


async def test_a_group_for_lessons_that_nobody_knows_is_passed_over_and_told_of(school: School):
    lessons = enrollment(school, PUPIL, "lessons")
    status = await school.changed(enrollments=[{**lessons, "status": "active"}])
    assert outcome(status) == (0, 0, 0, 0, 0)
    assert [warning.split("(")[-1] for warning in status.warnings] == ["enrollment.class-unknown)"]


async def test_a_bad_row_of_changes_comes_back_as_changes(school: School):
    status = await school.changed(demographics=[{"sourcedId": PUPIL, "birthDate": "31.02.2004"}])
    assert [(cell.file, cell.row, cell.column, cell.code) for cell in status.rejected] == [
        ("demographics.csv", 2, "birthDate", "date.unreadable")
    ]
    assert status.rejected_file is not None
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(status.rejected_file))) as archive:
        assert "file.demographics,delta" in archive.read("manifest.csv").decode("utf-8-sig")


# -- what is to be deleted -----------------------------------------------------------------------------------------------------------------


async def settle(school: School, status: ImportStatus) -> None:
    """Does what the warnings say."""
    for warning in status.warnings:
        for command in re.findall("vekha call (\\S+) '([^']*)'", warning):
            await school.call(CALLS[command[0]], **{field: value for field, value in json.loads(command[1]).items() if field != "school"})


@pytest.mark.parametrize("file", ["users", "enrollments"])
async def test_a_pupil_who_is_to_be_deleted_stays_until_somebody_says_so(school: School, file: str):
    row = {**(user(school, PUPIL) if file == "users" else enrollment(school, PUPIL)), **DELETED}
    before = await school.recorded()
    status = await school.changed(**{file: [row]})
    assert (outcome(status), status.total_rows) == ((0, 0, 0, 1, 0), 1)
    assert await school.recorded() == before + 1
    assert status.warnings[0].startswith(f"{file}.csv, row 2: the pupil stays; if the pupil has left, say vekha call roster.pupil-left")
    assert len(await school.people("pupil")) == 24
    await settle(school, status)
    assert len(await school.people("pupil")) == 23
    assert outcome(await school.changed(**{file: [row]})) == (0, 0, 1, 0, 0)


async def test_staff_guardians_and_classes_that_are_to_be_deleted_stay_until_somebody_says_so(school: School):
    guardian = user(school, PUPIL)["agentSourcedIds"].split(",")[0]
    rows = [{**user(school, "101"), **DELETED}, {**user(school, guardian), **DELETED}]
    status = await school.changed(users=rows)
    assert outcome(status) == (0, 0, 0, 2, 0)
    assert ["roster.dismiss-staff" in warning for warning in status.warnings] == [True, False]
    await settle(school, status)
    assert (len(await school.people("staff")), len(await school.people("guardian"))) == (5, 46)
    klass = next(row for row in sample(school.version, "classes") if row["sourcedId"] == "class-5Б")
    assert "roster.close-class" in (await school.changed(classes=[{**klass, **DELETED}])).warnings[0]
    teaching = next(
        row for row in sample(school.version, "enrollments") if row["role"] == "teacher" and row["classSourcedId"] == "class-5Б"
    )
    assert "roster.assign-class-teacher" in (await school.changed(enrollments=[{**teaching, **DELETED}])).warnings[0]


@pytest.mark.parametrize("cells", [{"status": "inactive"}, {"enabledUser": "false"}], ids=str)
async def test_who_is_no_more_or_disabled_stays_until_somebody_says_so(school: School, cells: Row):
    status = await school.changed(users=[{**user(school, PUPIL), "email": "new@school.example", **cells}])
    assert outcome(status) == (0, 0, 0, 1, 0)
    assert "roster.pupil-left" in status.warnings[0]
    await settle(school, status)
    assert len(await school.people("pupil")) == 23


async def test_who_is_in_other_schools_now_stays_until_somebody_says_so(tmp_path: Path):
    async with running(tmp_path, BUILDS, now="2015-09-03T09:00:00+03:00") as system:
        school = await opened(system)
        await school.ended(bulk("1.1"))
        status = await school.changed(users=[{**user(school, PUPIL), "orgSourcedIds": "org-8;org-9"}], orgs=sample("1.1", "orgs"))
        assert outcome(status) == (0, 0, 0, 1, 0)
        assert "roster.pupil-left" in status.warnings[0]


async def test_who_has_a_row_for_each_school_stays_in_this_one(tmp_path: Path):
    async with running(tmp_path, BUILDS, now="2015-09-03T09:00:00+03:00") as system:
        school = await opened(system)
        await school.ended(bulk("1.1"))
        row = user(school, PUPIL)
        status = await school.changed(users=[row, {**row, "orgSourcedIds": "org-8"}], orgs=sample("1.1", "orgs"))
        assert status.review == 0


async def test_a_status_that_nobody_knows_is_told_of(school: School):
    status = await school.changed(users=[{**user(school, PUPIL), "status": "archived"}])
    assert outcome(status) == (0, 0, 1, 0, 0)
    assert "(status.unknown)" in status.warnings[0]


async def test_ids_that_differ_in_case_alone_are_of_two_people(school: School):
    twin = {**user(school, PUPIL), "sourcedId": PUPIL.lower(), "givenName": "Пелагея", "agentSourcedIds": ""}
    place = {**enrollment(school, PUPIL), "sourcedId": "twin", "userSourcedId": PUPIL.lower()}
    roles = [row for row in sample("1.2", "roles") if row["userSourcedId"] == PUPIL] if school.version == "1.2" else []
    files: dict[str, Sequence[Row]] = (
        {"roles": [{**row, "sourcedId": "r", "userSourcedId": PUPIL.lower()} for row in roles]} if roles else {}
    )
    (birth,) = [row for row in sample(school.version, "demographics") if row["sourcedId"] == PUPIL]
    status = await school.changed(users=[twin], enrollments=[place], demographics=[{**birth, "sourcedId": PUPIL.lower()}], **files)
    assert outcome(status) == (1, 1, 0, 0, 0)  # the class has one pupil more
    assert len(await school.events(roster.GuardianLinked)) == len(await school.people("guardian"))


async def test_a_class_keeps_its_name_and_another_one_is_told_of(school: School):
    row = next(row for row in sample(school.version, "classes") if row["sourcedId"] == "class-5Б")
    status = await school.changed(classes=[{**row, "title": "5В"}])
    assert outcome(status) == (0, 0, 1, 0, 0)
    assert "(class.renamed)" in status.warnings[0]


async def test_an_enrollment_that_names_nobody_is_told_of(school: School):
    status = await school.changed(enrollments=[{"sourcedId": "enrollment-5", **DELETED}])
    assert "(enrollment.unnamed)" in status.warnings[0]


async def test_a_move_that_is_to_come_moves_nobody_yet(school: School):
    row = {**enrollment(school, PUPIL), "sourcedId": "later", "classSourcedId": "class-5Б", "beginDate": "2016-01-11"}
    status = await school.changed(enrollments=[row])
    assert outcome(status) == (0, 0, 2, 0, 0)
    assert "(enrollment.begins-later)" in status.warnings[0]


async def test_a_role_that_is_deleted_goes_to_somebody_who_decides(tmp_path: Path):
    async with running(tmp_path, BUILDS, now="2015-09-03T09:00:00+03:00") as system:
        school = await opened(system, "1.2")
        await school.ended(bulk("1.2"))
        roles = {row["userSourcedId"]: row for row in sample("1.2", "roles")}
        status = await school.changed(roles=[{**roles["101"], **DELETED}, {**roles[PUPIL], **DELETED}])
        assert outcome(status) == (0, 0, 0, 2, 0)
        assert ["roster.dismiss-staff" in warning for warning in status.warnings] == [True, False]
        elsewhere = {**roles[PUPIL], "sourcedId": "another", "orgSourcedId": "org-8"}
        status = await school.changed(roles=[{**roles[PUPIL], **DELETED}, elsewhere])
        assert (outcome(status), "roster.pupil-left" in status.warnings[0]) == ((0, 0, 1, 1, 0), True)
        parent = {**roles["115"], "sourcedId": "another", "role": "parent"}
        assert outcome(await school.changed(roles=[{**parent, **DELETED}]))[3] == 0  # entered as a teacher, who stays one
        other = {**roles["101"], "sourcedId": "another", "role": "teacher"}
        status = await school.changed(roles=[{**roles["101"], **DELETED}, other])
        assert outcome(status) == (0, 0, 1, 0, 0)
        assert "(role.differs)" in status.warnings[0]


async def test_changes_of_a_district_in_which_nothing_is_this_schools_say_so(school: School):
    place = {**enrollment(school, PUPIL), "schoolSourcedId": "org-8"}
    status = await school.ended(delta(school.version, enrollments=[place]))
    assert status.error_code == "file.other-school"
    assert status.error_text is not None
    assert "changes of another school" in status.error_text


async def test_to_be_deleted_means_nothing_in_a_whole_file(school: School):
    names = ("orgs", "academicSessions", "classes", "users", "enrollments", *(["roles"] if school.version == "1.2" else []))
    files: dict[str, Sequence[Row]] = {name: sample(school.version, name) for name in names}
    files["demographics"] = [{**row, **DELETED} for row in sample(school.version, "demographics")]
    status = await school.ended(delta(school.version, "bulk", **files))
    assert outcome(status) == (0, 0, 32, 0, 0)


# -- whose export it is --------------------------------------------------------------------------------------------------------------------


async def test_changes_without_anything_to_change_say_that_a_whole_export_comes_first(tmp_path: Path):
    async with running(tmp_path, BUILDS, now="2015-09-03T09:00:00+03:00") as system:
        school = await opened(system)
        status = await school.ended(delta("1.1", users=[{**user(school, PUPIL), "status": "active"}]))
        assert (status.state, status.error_code) == ("failed", "file.oneroster-delta")
        assert status.error_text is not None
        assert "import that first" in status.error_text


async def test_changes_of_another_school_are_refused(school: School):
    row = {**user(school, PUPIL), "orgSourcedIds": "org-8", "status": "active"}
    place = {**enrollment(school, PUPIL), "schoolSourcedId": "org-8", "status": "active"}
    status = await school.ended(delta(school.version, users=[row], enrollments=[place]))
    assert (status.state, status.error_code) == ("failed", "file.other-school")


async def test_changes_of_people_whose_first_school_is_another_are_refused(tmp_path: Path):
    async with running(tmp_path, BUILDS, now="2015-09-03T09:00:00+03:00") as system:
        school = await opened(system, "1.2")
        assert outcome(await school.ended(bulk("1.2"))) == (32, 0, 0, 0, 0)
        row = user(school, PUPIL)
        assert outcome(await school.changed(users=[{**row, "status": "active"}])) == (0, 0, 1, 0, 0)
        status = await school.ended(delta("1.2", users=[{**row, "primaryOrgSourcedId": "org-8", "status": "active"}]))
        assert (status.state, status.error_code) == ("failed", "file.other-school")


async def test_a_whole_export_of_another_school_is_refused_unless_it_names_this_one(school: School):
    others = dict.fromkeys(("orgs", "classes", "users", "enrollments", "roles"), ("org-school", "org-8"))
    status = await school.ended(bulk(school.version, **others))
    assert (status.state, status.error_code) == ("failed", "file.other-school")
    assert len(await school.people("pupil")) == 24
    content = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(bulk(school.version, **others))) as export, zipfile.ZipFile(content, "w") as named:
        for name in export.namelist():
            named.writestr(name, export.read(name).decode().replace("school,7,", "school,school-7,"))
    assert outcome(await school.ended(content.getvalue())) == (0, 0, 32, 0, 0)


async def test_an_export_that_names_another_school_of_the_instance_is_refused_the_first_time(tmp_path: Path):
    async with running(tmp_path, BUILDS, now="2015-09-03T09:00:00+03:00") as system:
        school = await opened(system)
        await opened(system, school="school-8")
        status = await school.ended(bulk("1.1", orgs=("school,7,", "school,school-8,")))
        assert (status.state, status.error_code) == ("failed", "file.other-school")


async def test_the_first_export_under_another_name_is_entered_once_somebody_says_which_org_the_school_is(tmp_path: Path):
    async with running(tmp_path, BUILDS, now="2015-09-03T09:00:00+03:00") as system:
        school = await opened(system)
        content = bulk("1.1", orgs=("Школа № 7", "МБОУ «СОШ № 17»"))
        status = await school.ended(content)
        assert (status.state, status.error_code) == ("failed", "file.school-unconfirmed")
        assert status.error_text is not None
        assert all(told in status.error_text for told in ("МБОУ «СОШ № 17»", "«Школа № 7»", "`--org org-school`"))
        assert (await school.people("pupil"), await school.people("staff")) == (set(), set())
        status = await school.ended(content, org="org-8")
        assert (status.error_code, "org-school" in (status.error_text or "")) == ("file.school-unknown", True)
        assert outcome(await school.ended(content, org="org-school")) == (32, 0, 0, 0, 0)
        assert outcome(await school.ended(content)) == (0, 0, 32, 0, 0)  # from now on its id tells


@pytest.mark.parametrize("name", ["школа №7", " «Школа № 7» "])
async def test_a_school_may_write_its_name_with_other_signs(tmp_path: Path, name: str):
    async with running(tmp_path, BUILDS, now="2015-09-03T09:00:00+03:00") as system:
        school = await opened(system)
        assert outcome(await school.ended(bulk("1.1", orgs=("Школа № 7", name)))) == (32, 0, 0, 0, 0)


async def test_a_school_that_has_changed_its_program_says_so_once(school: School):
    others = dict.fromkeys(("orgs", "classes", "users", "enrollments", "roles"), ("org-school", "org-8"))
    content = bulk(school.version, **others)
    assert (await school.ended(content)).error_code == "file.other-school"
    assert outcome(await school.ended(content, org="org-8")) == (0, 0, 32, 0, 0)
    assert outcome(await school.ended(content)) == (0, 0, 32, 0, 0)
    assert outcome(await school.ended(bulk(school.version))) == (0, 0, 32, 0, 0)


async def test_our_own_export_does_not_stand_in_the_way_of_the_schools_real_one(tmp_path: Path):
    async with running(tmp_path, BUILDS, now="2015-09-03T09:00:00+03:00") as system:
        school = await opened(system)
        assert outcome(await school.ended(bulk("1.1"))) == (32, 0, 0, 0, 0)
        made = await school.call(roster.EXPORT, format="oneroster-1.1")
        parts = [await school.call(roster.EXPORT_PART, export=made.export, part=part) for part in range(1, made.parts + 1)]
        ours = b"".join(base64.b64decode(part.content) for part in parts)
    async with running(tmp_path / "anew", BUILDS, now="2015-09-03T09:00:00+03:00") as system:
        school = await opened(system)
        assert outcome(await school.ended(ours)) == (32, 0, 0, 0, 0)
        status = await school.ended(delta("1.1", users=[{**user(school, PUPIL), "status": "active"}]))
        assert status.error_code == "file.oneroster-delta"
        assert outcome(await school.ended(bulk("1.1")))[4] == 0
        assert outcome(await school.changed(users=[{**user(school, PUPIL), "phone": ""}]))[4] == 0


async def test_of_several_schools_in_an_export_one_is_confirmed_and_known_from_then_on(tmp_path: Path):
    async with running(tmp_path, BUILDS, now="2015-09-03T09:00:00+03:00") as system:
        school = await opened(system)
        content = bulk("1.1", orgs=("org-school,", "org-8,,,Школа № 8,school,8,org-district\r\norg-school,"))
        status = await school.ended(content)
        assert status.error_code == "file.school-unknown"
        assert all(told in (status.error_text or "") for told in ("sourcedId org-8", "sourcedId org-school", "--org"))
        assert outcome(await school.ended(content, org="org-school")) == (32, 0, 0, 0, 0)
        assert outcome(await school.ended(content)) == (0, 0, 32, 0, 0)


async def test_an_org_can_be_confirmed_of_an_export_alone(school: School):
    upload = "u-template"
    text = base64.b64encode("Параллель;Литера;Учебный год;Заявлено учеников\n1;А;2015/2016;20\n".encode()).decode()
    await school.call(roster.UPLOAD, upload=upload, part=1, parts=1, file_name="classes.csv", content=text)
    status = await school.call(roster.IMPORT, upload=upload, org="org-school")
    while status.state == "running":
        await asyncio.sleep(0.01)
        status = await school.call(roster.IMPORT_STATUS, job=status.job)
    assert (status.state, status.error_code) == ("failed", "file.org-unnamed")
