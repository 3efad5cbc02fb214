"""Exports: files in every format, on a real bus with the real consent service, in which an import finds nothing to change."""

import asyncio
import base64
import csv
import hashlib
import io
import itertools
import re
import tempfile
import zipfile
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as for_all
from hypothesis import strategies as st
from python_calamine import CalamineWorkbook
from sqlalchemy import select

from consent.app import build as build_consent
from contracts import roster
from contracts.call import Call
from contracts.consent import SubjectKind
from contracts.roster import ImportStatus, LegalBasis
from eventkit.decider import Refused
from eventkit.harness import System, administrator, director, running
from roster.app import build
from roster.files import (
    ClassLabel,
    Exported,
    ExportedClass,
    ExportedGuardian,
    ExportedMember,
    ExportedPupil,
    ExportFormat,
    read_roster,
    write_roster,
)
from roster.files.cells import guarded, plain, tidy
from roster.files.words import says_nothing
from roster.journal import journal_table

BUILDS = {"roster": build, "consent": build_consent}
SAMPLES = Path(__file__).parents[1] / "samples"
FORMATS: tuple[ExportFormat, ...] = get_args(ExportFormat)
LAW = LegalBasis(code="law", reference="273-FZ")
FORMULA_BEGINNINGS = ("=", "+", "-", "@", "\t", "\r")

Cells = Mapping[str, str]

_uploads = itertools.count(1)


@dataclass
class School:
    """A school of an instance, and what is asked of it in the name of its administrator."""

    system: System
    school: str = "school-7"

    async def call(self, call: Call[Any, Any], *, by: Any = administrator, **body: Any) -> Any:
        request = call.request.model_validate({"school": self.school, **body})
        return await self.system.call(call, request, as_=by(self.school))

    async def imported(self, content: bytes, name: str = "roster.xlsx", legal_basis: LegalBasis | None = None) -> ImportStatus:
        status = await self.handed_in(content, name, legal_basis=legal_basis)
        assert status.state == "done", status.error_code
        return status

    async def handed_in(self, content: bytes, name: str, **more: Any) -> ImportStatus:
        upload = f"u-{next(_uploads)}"
        pieces = [content[first : first + 200_000] for first in range(0, len(content), 200_000)]
        for number, piece in enumerate(pieces, 1):
            text = base64.b64encode(piece).decode()
            await self.call(roster.UPLOAD, upload=upload, part=number, parts=len(pieces), file_name=name, content=text)
        status = await self.call(roster.IMPORT, upload=upload, **more)
        while status.state == "running":
            await asyncio.sleep(0.01)
            status = await self.call(roster.IMPORT_STATUS, job=status.job)
        return status

    async def exported(self, file_format: str) -> tuple[roster.RosterExport, bytes]:
        made = await self.call(roster.EXPORT, format=file_format)
        parts = [await self.call(roster.EXPORT_PART, export=made.export, part=number) for number in range(1, made.parts + 1)]
        content = b"".join(base64.b64decode(part.content) for part in parts)
        assert hashlib.sha256(content).hexdigest() == made.sha256
        return made, content

    async def recorded(self) -> int:
        return await self.system.instance.services["roster"].store.head()

    async def journal(self) -> Sequence[Any]:
        return await self.system.instance.services["roster"].read(lambda connection: connection.execute(select(journal_table)).all())

    async def changes_nothing(self, file_format: ExportFormat, rows: int, *warned: str) -> roster.RosterExport:
        """Exports, imports the file and looks that this was nothing but the import's own completion, warned of by these codes at most."""
        made, content = await self.exported(file_format)
        before = await self.recorded()
        status = await self.imported(content, made.file_name)
        counts = (status.created, status.updated, status.unchanged, status.review, status.rejected_rows)
        assert counts == (0, 0, rows, 0, 0), (file_format, status.rejected, status.warnings)
        assert {told.rpartition("(")[2].rstrip(")") for told in status.warnings} <= set(warned), (file_format, status.warnings)
        assert await self.recorded() == before + 1
        return made


async def opened(system: System, school: str = "school-7") -> School:
    await system.call(roster.OPEN_SCHOOL, roster.OpenSchool(school=school, name="Школа № 7", municipality="dubna"))
    await system.settled()
    return School(system, school)


@pytest.fixture
async def school(tmp_path: Path) -> AsyncIterator[School]:
    async with running(tmp_path, BUILDS, now="2015-09-01T09:00:00+03:00") as system:
        yield await opened(system)


def csv_of(rows: Sequence[Cells]) -> bytes:
    columns = list(dict.fromkeys(title for row in rows for title in row))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, delimiter=";")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def zip_of(**files: Sequence[Cells]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, rows in files.items():
            archive.writestr(f"{name}.csv", csv_of(rows))
    return content.getvalue()


def csv_files(content: bytes, delimiter: str) -> Mapping[str, list[list[str]]]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        texts = {name: archive.read(name).decode("utf-8-sig") for name in archive.namelist()}
    return {name: list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)) for name, text in texts.items()}


# -- the sample school ---------------------------------------------------------------------------------------------------------------------


async def test_the_sample_school_goes_out_in_every_format_and_comes_back_unchanged(school: School):
    for name in ("school-classes.xlsx", "school-staff.xlsx", "school-pupils.xlsx", "school-pupils-late.xlsx"):
        assert (await school.imported((SAMPLES / name).read_bytes(), name)).rejected_rows == 0
    for file_format in FORMATS:
        made = await school.changes_nothing(file_format, 25 + 60 + 613)
        assert (made.classes, made.staff, made.pupils, made.guardians, made.left_out) == (25, 60, 613, 1079, ())


@pytest.mark.parametrize("version", ["1.1", "1.2"])
async def test_a_oneroster_export_goes_out_in_every_format_and_comes_back_unchanged(school: School, version: str):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path in (SAMPLES / f"oneroster-{version}").glob("*.csv"):
            archive.write(path, path.name)
    assert (await school.imported(content.getvalue(), "export.zip", LAW)).created == 32
    for file_format in FORMATS:
        await school.changes_nothing(file_format, 32)


# -- what is hard to write -----------------------------------------------------------------------------------------------------------------


def klass(letter: str, year: str = "2015/2016", **more: str) -> Cells:
    return {"Параллель": "5", "Литера": letter, "Учебный год": year, "Заявлено учеников": "25", **more}


def child(number: str, name: str, **more: str) -> Cells:
    cells = {"ID": number, "Фамилия": "Ёлкин", "Имя": name, "Дата рождения": "01.03.2005", "Класс": "5А", "Дата зачисления": "01.09.2012"}
    return {**cells, **more}


def parent(guardian: int, identifier: str, name: str, **more: str) -> Cells:
    cells = {"ID": identifier, "Фамилия": "Ёлкина", "Имя": name, "Степень родства": "мать", "Законный представитель": "да", **more}
    return {f"Родитель {guardian}: {title}": cell for title, cell in cells.items() if cell}


HARD: dict[str, Sequence[Cells]] = {
    "classes": [klass("А", "2014/2015", Смена="2"), klass("А"), klass("Б", **{"ID классного руководителя": "17"})],
    "staff": [
        {
            "Табельный №": "17", "Фамилия": "Кузнецова", "Имя": "Ольга", "Должность": "'=SUM(A1)", "Роль": "Учитель",
            "Предметы": "'@физика; «химия», \"труд\"", "Телефон": "+49 30 1234567", "Дата приёма": "01.09.2010",
        },
    ],
    "pupils": [
        # Twins in the class of an older year, who share a mother without an ID of her own, and a grandmother.
        child("17", "Пётр", **{"Учебный год": "2014/2015", "№ приказа": "'-1"}, **parent(1, "", "Жанна"),
              **parent(2, "18", "Вера", **{"Степень родства": "бабушка", "Законный представитель": "нет", "Телефон": "+7 916 123-45-67"})),
        child("18", "Павел", **{"Учебный год": "2014/2015", "СНИЛС": "112-233-445 95"}, **parent(1, "", "Жанна"),
              **parent(2, "18", "Вера", **{"Степень родства": "бабушка", "Законный представитель": "нет"})),
        child("'+1,5", "Анна", Класс="5 Б", Пол="ж", **parent(2, "'=1", "Жанна", **{"Степень родства": "опекун"})),
    ],
}  # fmt: skip


@pytest.fixture
async def hard(school: School) -> School:
    """A school with whatever is hard to write: entered by files and by calls."""
    status = await school.imported(zip_of(**HARD), "hard.zip", LAW)
    assert (status.created, status.rejected_rows) == (7, 0), status.rejected
    details = {"last_name": "Ёлкина", "first_name": "Мария\t ", "phone": "8 (916) 765-43-21", "snils": "112-233-445 95"}
    await school.call(roster.HIRE_STAFF, details={**details, "email": "m@school.example"}, position="other", hired_on="2015-08-01")
    pupils = (await school.call(roster.PEOPLE, kind="pupil")).people
    for first_name in ("Третья", "Третий"):
        name = {"last_name": "Ёлкина", "first_name": first_name}
        body = {"pupil": pupils[0], "details": name, "relation": "father", "legal_basis": LAW.model_dump()}
        await school.call(roster.LINK_GUARDIAN, legal_representative=first_name == "Третий", **body)
    return school


@pytest.mark.parametrize("file_format", FORMATS)
async def test_whatever_is_hard_to_write_comes_back_unchanged(hard: School, file_format: ExportFormat):
    oneroster = file_format.startswith("oneroster")
    # OneRoster is read for the school year that it is: the class and the twins of the year before are passed over.
    warned = ["class.other-year", "guardian.too-many"] if oneroster else []
    made = await hard.changes_nothing(file_format, 2 + 2 + 1 if oneroster else 3 + 2 + 3, *warned)
    assert [" of whom the template has no columns" in told for told in made.left_out] == ([] if oneroster else [True])


async def test_an_export_in_the_middle_of_a_roll_over_comes_back_unchanged_and_is_no_whole_list(hard: School):
    coming = (await hard.call(roster.DECLARE_CLASS, grade=6, letter="Б", academic_year="2016/2017")).class_id
    await hard.call(roster.CREATE_CLASS, class_id=coming)
    _, content = await hard.exported("csv")
    table = csv_files(content, ";")["pupils.csv"]
    anna = next(dict(zip(table[0], row, strict=True)) for row in table[1:] if row[2] == "Анна")
    moved = await hard.imported(csv_of([{**anna, "Класс": "6Б", "Учебный год": "2016/2017"}]), "pupils.csv")
    assert moved.updated == 1, moved.rejected
    made = await hard.changes_nothing("oneroster-1.2", 2 + 2, "class.other-year", "class.coming-year", "guardian.too-many")
    _, content = await hard.exported("oneroster-1.2")
    whole = await hard.handed_in(content, made.file_name, full_list=True, missing=1)
    assert whole.error_code == "list.not-whole"


async def test_who_was_entered_without_an_id_is_found_under_the_own_one(hard: School):
    _, content = await hard.exported("csv")
    (made,) = [row for row in csv_files(content, ";")["staff.csv"] if row[2] == "Мария"]
    assert re.fullmatch("p-[0-9a-f]{20}", made[0])
    table = csv_files(content, ";")["staff.csv"]
    changed = [dict(zip(table[0], row, strict=True)) for row in table[1:] if row[2] == "Мария"]
    status = await hard.imported(csv_of([{**changed[0], "Фамилия": "Кузнецова"}]), "staff.csv")
    assert (status.created, status.updated) == (0, 1)
    card = await hard.call(roster.PERSON, person=made[0])
    assert card.details.last_name == "Кузнецова"


async def test_a_class_that_is_not_created_and_a_pupil_in_no_class_are_left_out_and_told_of(school: School):
    ref = await school.call(roster.DECLARE_CLASS, grade=5, letter="А", academic_year="2015/2016")
    details = {"last_name": "Ёлкин", "first_name": "Пётр", "birth_date": "2005-03-01"}
    body = {"details": details, "class_id": ref.class_id, "enrolled_on": "2015-09-01", "legal_basis": LAW.model_dump()}
    await school.call(roster.ENROL_PUPIL, **body)
    made, content = await school.exported("csv")
    assert made.left_out == ("a class that is not created yet (step 12)", "a pupil who is in no class yet (step 15)")
    assert {name: len(rows) for name, rows in csv_files(content, ";").items()} == {"classes.csv": 1, "staff.csv": 1, "pupils.csv": 1}


@pytest.mark.parametrize("file_format", FORMATS)
async def test_no_exported_cell_begins_like_a_formula(hard: School, file_format: ExportFormat):
    _, content = await hard.exported(file_format)
    if file_format == "xlsx":
        workbook = CalamineWorkbook.from_filelike(io.BytesIO(content))
        cells = [cell for name in workbook.sheet_names for row in workbook.get_sheet_by_name(name).to_python() for cell in row]
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            assert not any(b"<f>" in archive.read(name) for name in archive.namelist())
    else:
        tables = csv_files(content, ";" if file_format == "csv" else ",")
        cells = [cell for rows in tables.values() for row in rows for cell in row]
    texts = [cell for cell in cells if isinstance(cell, str)]
    assert len(texts) > 30
    assert not [text for text in texts if text.startswith(FORMULA_BEGINNINGS)]
    assert any(text.startswith("'") for text in texts)


@for_all(st.text(max_size=12) | st.text(alphabet="'=+-@＝ \t\ra", max_size=6))
def test_what_guards_a_cell_is_taken_off_again(text: str):
    tidied = tidy(text)
    assert not guarded(tidied).startswith(FORMULA_BEGINNINGS)
    assert not guarded(text).startswith(FORMULA_BEGINNINGS)
    assert plain(guarded(tidied)) == ("" if tidied.strip("-–—−") == "" else tidied)


# -- whoever asks --------------------------------------------------------------------------------------------------------------------------


async def test_an_export_is_journalled_for_everybody_in_it(hard: School):
    before = len(await hard.journal())
    made = await hard.call(roster.EXPORT, format="xlsx", by=director)
    entries = (await hard.journal())[before:]
    assert {entry.reader for entry in entries} == {"director:school-7"}
    people = {entry.person for entry in entries}
    assert len(people) == len(entries) == made.staff + made.pupils + made.guardians


async def test_a_file_is_given_to_nobody_but_whom_the_journal_names_as_its_reader(hard: School):
    made = await hard.call(roster.EXPORT, format="csv", by=director)
    entries = await hard.journal()
    with pytest.raises(Refused, match=re.escape("export.not-own")):
        await hard.call(roster.EXPORT_PART, export=made.export, part=1)
    assert await hard.journal() == entries
    assert (await hard.call(roster.EXPORT_PART, export=made.export, part=1, by=director)).content
    own = await hard.call(roster.EXPORT, format="csv")
    assert {entry.reader for entry in (await hard.journal())[len(entries) :]} == {"administrator:school-7"}
    assert (await hard.call(roster.EXPORT_PART, export=own.export, part=1)).content


async def test_a_file_is_its_own_schools_and_is_kept_for_an_hour(hard: School):
    made = await hard.call(roster.EXPORT, format="csv")
    other = await opened(hard.system, "school-8")
    for asking, part in ((other, 1), (hard, made.parts + 1)):
        with pytest.raises(Refused, match=re.escape("export.unknown")):
            await asking.call(roster.EXPORT_PART, export=made.export, part=part)
    await hard.system.until((hard.system.clock.now() + timedelta(minutes=61)).isoformat())
    with pytest.raises(Refused, match=re.escape("export.unknown")):
        await hard.call(roster.EXPORT_PART, export=made.export, part=1)


async def test_an_unknown_school_exports_nothing(school: School):
    with pytest.raises(Refused, match=re.escape("school.unknown")):
        await School(school.system, "school-9").call(roster.EXPORT, format="csv")


async def test_nothing_of_an_exported_file_stands_in_the_database_in_clear(hard: School, tmp_path: Path):
    made, _ = await hard.exported("csv")
    files = b"".join(path.read_bytes() for path in (tmp_path / "db").glob("*.db*"))
    assert made.export.encode() in files
    for text in ("Ёлкин", "Пётр", "Жанна", "01.03.2005", "2005-03-01", "112-233-445", "+49301234567"):
        assert text.encode() not in files, text


# -- the law -------------------------------------------------------------------------------------------------------------------------------

LETTERS = "АБ"
NAMES = st.sampled_from(["Ёлкин", "Елкин", "О'Коннор", "Салтыков-Щедрин", "Ким", "Абдул-Хамид оглы"])
FIRST_NAMES = st.sampled_from(["Пётр", "Петр", "Анна-Мария", "Ли"])
WORDS = (
    st.text(st.characters(exclude_categories=("C", "Z"), include_characters=" '=+-@;,\""), max_size=8)
    .map(tidy)
    .filter(lambda text: not says_nothing(text))
)
EMAILS = st.sampled_from(["", "family@example.org"])
PHONES = st.sampled_from(["", "+79161234567", "+4930123456"])
SNILS = st.sampled_from(["", "11223344595"])
DAYS = st.dates(date(2004, 1, 1), date(2007, 12, 31))  # nobody is entered who was enrolled before the fourth birthday


def kept(**fields: str) -> dict[str, str]:
    return {field: text for field, text in fields.items() if text.strip("-–—− ")}


@st.composite
def rosters(draw: st.DrawFn) -> Exported:
    """A school with twins, siblings who share a guardian, ё and е, blank cells, one guardian or two, and staff with and without a class."""
    ids = (f"p-{number:020x}" for number in itertools.count(1))
    staff = [
        ExportedMember(
            person=next(ids),
            external_id=f"{draw(st.sampled_from(['', '=', '+', 'Т-']))}{number}",
            details=kept(last_name=draw(NAMES), first_name=draw(FIRST_NAMES), position=draw(WORDS) or "Учитель", subjects=draw(WORDS))
            | kept(email=draw(EMAILS), phone=draw(PHONES), snils=draw(SNILS)),
            role=draw(st.sampled_from(["director", "administrator", "teacher", "other"])),
            hired_on=draw(DAYS),
        )
        for number in range(draw(st.integers(1, 3)))
    ]
    teachers = draw(st.lists(st.sampled_from([None, *(member.person for member in staff)]), min_size=2, max_size=2))
    classes = [
        ExportedClass(f"c-{letter}", ClassLabel(5, letter), 2015, draw(st.integers(1, 3)), draw(st.integers(0, 40)), teacher)
        for letter, teacher in zip("АБ", teachers, strict=True)
    ]
    guardians = [
        ExportedGuardian(
            person=next(ids),
            external_id=f"{number}",
            details=kept(last_name=draw(NAMES), first_name=draw(FIRST_NAMES), email=draw(EMAILS), phone=draw(PHONES), snils=draw(SNILS)),
            kinship=draw(st.sampled_from(["mother", "father", "grandparent", "guardian", "other"])),
            legal_representative=draw(st.booleans()),
        )
        for number in range(3)
    ]
    pupils: list[ExportedPupil] = []
    for number in range(draw(st.integers(1, 5))):
        born_on = draw(DAYS)
        twin = draw(st.booleans()) and pupils
        name = kept(last_name=draw(NAMES), first_name=draw(FIRST_NAMES), patronymic=draw(st.sampled_from(["", "Петрович"])))
        birth_date = pupils[-1].details["birth_date"] if twin else born_on.isoformat()
        order = kept(order_number=draw(WORDS), sex=draw(st.sampled_from(["", "female", "male"])), email=draw(EMAILS), snils=draw(SNILS))
        pupils.append(
            ExportedPupil(
                person=next(ids),
                external_id=f"{number}",
                details={**name, **order, "birth_date": birth_date},
                class_id=draw(st.sampled_from(["c-А", "c-Б"])),
                enrolled_on=date(2012, 9, 1),
                guardians=tuple(draw(st.lists(st.sampled_from(guardians), max_size=2, unique_by=lambda one: one.person))),
            )
        )
    return Exported("school-7", "Школа № 7", tuple(classes), tuple(staff), tuple(pupils))


def read_back(exported: Exported, file_format: ExportFormat) -> Any:
    file = write_roster(exported, file_format, date(2015, 9, 1))
    found = read_roster(file.content, file.name, school="school-7", today=date(2015, 9, 1))
    assert (found.errors, found.warnings) == ((), ()), (found.errors, found.warnings)
    return found


@for_all(rosters())
def test_whatever_a_template_says_is_read_as_it_was_written(exported: Exported):
    for file_format in ("xlsx", "csv"):
        found = read_back(exported, file_format)
        assert [(f"{row.grade}{row.letter}", row.shift, row.declared_pupils) for row in found.classes] == [
            (str(one.label), one.shift, one.declared_pupils) for one in exported.classes
        ]
        assert len(found.staff) == len(exported.staff)
        for row, member in zip(found.staff, exported.staff, strict=True):
            fields = ("last_name", "first_name", "position", "subjects", "email", "phone", "snils")
            assert {field: value for field in fields if (value := getattr(row, field)) is not None} == member.details
            assert (row.external_id, row.role, row.hired_on) == (member.external_id, member.role, member.hired_on)
        assert len(found.pupils) == len(exported.pupils)
        for row, pupil in zip(found.pupils, exported.pupils, strict=True):
            fields = ("last_name", "first_name", "patronymic", "sex", "order_number", "email", "snils")
            assert {field: value for field in fields if (value := getattr(row, field)) is not None} | {
                "birth_date": row.born_on.isoformat()
            } == pupil.details
            assert [(one.external_id, one.legal_representative) for one in row.guardians] == [
                (one.external_id, one.legal_representative) for one in pupil.guardians
            ]


@for_all(rosters())
def test_kinship_comes_back_from_a_oneroster_export_as_it_was(exported: Exported):
    for file_format in ("oneroster-1.1", "oneroster-1.2"):
        found = read_back(exported, file_format)
        for row, pupil in zip(found.pupils, exported.pupils, strict=True):
            assert sorted((one.kinship, one.legal_representative) for one in row.guardians) == sorted(
                (one.kinship, one.legal_representative) for one in pupil.guardians
            )


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@for_all(rosters())
async def test_any_roster_that_was_imported_goes_out_in_every_format_and_comes_back_unchanged(generated: Exported):
    async with running(Path(tempfile.mkdtemp()), BUILDS, now="2015-09-01T09:00:00+03:00") as system:
        school = await opened(system)
        first = await school.imported(write_roster(generated, "xlsx", date(2015, 9, 1)).content, "first.xlsx", LAW)
        # Namesakes born on one day go to review, and a guardian's link is one per pupil.
        assert first.created + first.updated + first.review == len(generated.classes) + len(generated.staff) + len(generated.pupils)
        rows = first.created + first.updated
        for file_format in FORMATS:
            made = await school.changes_nothing(file_format, rows, "snils.repeated")
            assert made.left_out == ()
        assert len((await school.call(roster.PEOPLE, kind=SubjectKind.PUPIL)).people) == len(generated.pupils) - first.review
