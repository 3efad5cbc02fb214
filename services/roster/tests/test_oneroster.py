"""Reading a OneRoster export: what it is mapped to, what is said of what cannot be mapped, and which files are refused."""

import csv
import io
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

import pytest

from roster.files import FileRefused, PupilRow, RosterFile, read_roster, write_rejected

SAMPLES = Path(__file__).parents[1] / "samples"
TODAY = date(2015, 8, 17)

Tables = dict[str, list[list[str]]]


def sample(version: str = "1.1") -> Tables:
    """The files of the sample by name, each with its titles first."""
    folder = SAMPLES / f"oneroster-{version}"
    return {path.stem: list(csv.reader(io.StringIO(path.read_text("utf-8"), newline=""))) for path in folder.glob("*.csv")}


def change(tables: Tables, file: str, row: int, **cells: str) -> Tables:
    """Writes cells of a row, by its number in a spreadsheet."""
    for column, cell in cells.items():
        tables[file][row - 1][tables[file][0].index(column)] = cell
    return tables


def cell(tables: Tables, file: str, row: int, column: str) -> str:
    return tables[file][row - 1][tables[file][0].index(column)]


def put(tables: Tables, file: str, **cells: str) -> Tables:
    tables[file].append([cells.get(title, "") for title in tables[file][0]])
    return tables


def manifest(tables: Tables, **values: str) -> Tables:
    """Sets what the manifest says of a property; `__` stands for the dot."""
    wanted = {name.replace("__", "."): value for name, value in values.items()}
    tables["manifest"] = [[name, wanted.pop(name, value)] for name, value in tables["manifest"]] + [[*pair] for pair in wanted.items()]
    return tables


def packed(tables: Tables, *, encoding: str = "utf-8", delimiter: str = ",", folder: str = "") -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, rows in tables.items():
            text = io.StringIO(newline="")
            csv.writer(text, delimiter=delimiter).writerows(rows)
            archive.writestr(f"{folder}{name}.csv", text.getvalue().encode(encoding))
    return content.getvalue()


def read(tables: Tables, school: str = "school-7", today: date = TODAY) -> RosterFile:
    return read_roster(packed(tables), "export.zip", school=school, today=today)


def refusal(source: Tables | bytes) -> FileRefused:
    with pytest.raises(FileRefused) as caught:
        read_roster(source if isinstance(source, bytes) else packed(source), "export.zip", school="school-7", today=TODAY)
    assert caught.value.hint
    return caught.value


def codes(file: RosterFile) -> list[tuple[str, int | None, str | None, str]]:
    return [(error.file, error.row, error.column, error.code) for error in file.errors]


def warned(file: RosterFile) -> list[tuple[str, int | None, str]]:
    return [(warning.file, warning.row, warning.code) for warning in file.warnings]


def only(pupils: Sequence[PupilRow], external_id: str) -> PupilRow:
    (found,) = [pupil for pupil in pupils if pupil.external_id == external_id]
    return found


FIRST_PUPIL = 8
"""The row of the first pupil in the sample's users.csv; in demographics.csv it is row 2."""


# -- what it is mapped to ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["1.1", "1.2"])
def test_an_export_gives_classes_staff_and_pupils_with_their_guardians(version: str) -> None:
    file = read(sample(version))
    assert (file.errors, file.warnings, file.format) == ((), (), "oneroster")
    assert [(row.grade, row.letter, row.school_year, row.declared_pupils, row.class_teacher_id) for row in file.classes] == [
        (5, "А", 2015, 12, "115"),
        (5, "Б", 2015, 12, "116"),
    ]
    assert len(file.staff) == 6
    assert file.staff[0].role == ("director" if version == "1.2" else "administrator")
    assert {(row.position, row.role) for row in file.staff[1:]} == {("Учитель", "teacher")}
    assert (len(file.pupils), sum(len(pupil.guardians) for pupil in file.pupils)) == (24, 47)
    assert [(table.file, table.kind, table.rows) for table in file.detected] == [
        ("classes.csv", "classes", 2), ("users.csv", "staff", 6), ("users.csv", "pupils", 24), ("users.csv", "guardians", 47)
    ]  # fmt: skip


def test_both_versions_of_one_school_give_the_same_pupils() -> None:
    old, new = read(sample("1.1")), read(sample("1.2"))
    assert [dict(pupil) for pupil in old.pupils] == [dict(pupil) for pupil in new.pupils]
    assert [dict(row) for row in old.classes] == [dict(row) for row in new.classes]


def test_the_people_are_those_whom_the_template_of_the_same_school_names() -> None:
    template = {pupil.external_id: pupil for pupil in read_roster(SAMPLES / "school-pupils.xlsx").pupils}
    for pupil in read(sample()).pupils:
        same = template[pupil.external_id]
        names = ("last_name", "first_name", "patronymic", "born_on", "sex", "class_label", "email")
        assert [getattr(pupil, name) for name in names] == [getattr(same, name) for name in names]
        assert (pupil.class_year, pupil.enrolled_on, pupil.consent_number) == (2015, date(2015, 9, 1), None)
        assert [(one.external_id, one.last_name, one.phone) for one in pupil.guardians] == [
            (one.external_id, one.last_name, one.phone) for one in same.guardians
        ]


@pytest.mark.parametrize(
    ("role", "sex", "kinship", "legal"),
    [
        ("parent", "female", "mother", True),
        ("parent", "male", "father", True),
        ("parent", "", "other", True),
        ("guardian", "male", "guardian", True),
        ("Relative", "female", "relative", False),
    ],
)
def test_kinship_follows_from_the_role_and_a_parents_sex(role: str, sex: str, kinship: str, legal: bool) -> None:
    tables = sample()
    guardian = cell(tables, "users", FIRST_PUPIL, "agentSourcedIds").split(",")[0]
    for file, column, value in (("users", "role", role), ("demographics", "sex", sex)):
        row = next(number for number, cells in enumerate(tables[file], 1) if cells[0] == guardian)
        change(tables, file, row, **{column: value})
    one = next(one for one in read(tables).pupils[0].guardians if one.external_id == guardian)
    assert (one.kinship, one.legal_representative) == (kinship, legal)


def test_a_guardian_may_name_the_pupils_instead() -> None:
    tables = sample()
    pupil, guardians = cell(tables, "users", FIRST_PUPIL, "sourcedId"), cell(tables, "users", FIRST_PUPIL, "agentSourcedIds").split(",")
    change(tables, "users", FIRST_PUPIL, agentSourcedIds="")
    for number, cells in enumerate(tables["users"], 1):
        if cells[0] in guardians:
            change(tables, "users", number, agentSourcedIds=pupil)
    assert [one.external_id for one in only(read(tables).pupils, pupil).guardians] == guardians


def test_in_1_2_a_teacher_may_be_a_parent_too() -> None:
    tables = sample("1.2")
    put(tables, "roles", userSourcedId="115", role="parent", orgSourcedId="org-school")
    change(tables, "users", FIRST_PUPIL, agentSourcedIds="115")
    file = read(tables)
    assert [one.external_id for one in file.pupils[0].guardians] == ["115"]
    assert "115" in {row.external_id for row in file.staff}


@pytest.mark.parametrize(
    ("title", "grades", "code", "label"),
    [
        ("5А", "", "", "5А"), ("5-А", "05", "", "5А"), ("5 «А» класс", "5", "", "5А"), ("Класс 11Б", "11", "", "11Б"),
        ("05а", "05", "", "5А"), ("5A", "", "", "5А"), ("А", "10", "", "10А"), ("Солнышко", "03", "3В", "3В"),
        ("Солнышко", "03", "В", "3В"),
    ],
)  # fmt: skip
def test_a_class_is_known_by_its_title_its_grade_and_its_code(title: str, grades: str, code: str, label: str) -> None:
    file = read(change(sample(), "classes", 2, title=title, grades=grades, classCode=code))
    assert codes(file) == []
    assert f"{file.classes[0].grade}{file.classes[0].letter}" == label


@pytest.mark.parametrize(
    ("changed", "column", "code"),
    [
        ({"title": "Солнышко"}, "title", "class.title-unknown"),
        ({"title": "12А", "grades": "12"}, "title", "class.title-unknown"),
        ({"title": "А", "grades": "KG"}, "grades", "class.grade-unknown"),
        ({"title": "А", "grades": "05,06"}, "grades", "class.grade-unknown"),
        ({"title": "6А"}, "grades", "class.grades-differ"),
        ({"termSourcedIds": "nowhere"}, "termSourcedIds", "class.year-unknown"),
        ({"sourcedId": ""}, "sourcedId", "cell.blank"),
    ],
)
def test_a_class_that_cannot_be_mapped_is_rejected_and_its_pupils_with_it(changed: dict[str, str], column: str, code: str) -> None:
    file = read(change(sample(), "classes", 2, **changed))
    assert ("classes.csv", 2, column, code) in codes(file)
    assert (len(file.classes), len(file.pupils)) == (1, 12)
    others = {error.code for error in file.errors} - {code}
    assert others <= {"enrollment.class-rejected", "enrollment.class-unknown"}


def test_without_homerooms_every_class_is_one() -> None:
    tables = sample()
    for row in (2, 4):
        change(tables, "classes", row, classType="scheduled")
    file = read(tables)
    assert (len(file.classes), len(file.pupils)) == (2, 24)
    assert codes(file) == []
    assert ("classes.csv", 3, "class.title-unread") in warned(file)


def test_without_homerooms_and_titles_like_classes_every_row_is_told_of() -> None:
    tables = sample()
    for row in (2, 3, 4, 5):
        change(tables, "classes", row, classType="scheduled", title="Солнышко")
    assert {error.row for error in read(tables).errors if error.code == "class.title-unknown"} == {2, 3, 4, 5}


def test_rows_of_one_class_and_year_are_one_class_and_told_of() -> None:
    """Programs write a row for each term."""
    file = read(change(sample(), "classes", 4, title="5А"))
    assert codes(file) == []
    assert (len(file.classes), file.classes[0].declared_pupils, len(file.pupils)) == (1, 24, 24)
    assert {("classes.csv", 4, "class.several-rows"), ("classes.csv", 2, "class-teacher.several")} <= set(warned(file))


def test_beside_homerooms_a_group_that_is_titled_like_a_class_is_told_of() -> None:
    file = read(change(sample(), "classes", 4, classType="scheduled"))
    assert warned(file)[0] == ("classes.csv", 4, "class.not-homeroom")
    assert len(file.classes) == 1


def test_a_day_may_have_midnight_behind_it() -> None:
    tables = change(sample(), "demographics", 2, birthDate="2004-03-17T00:00:00.000Z")
    assert read(tables).pupils == read(sample()).pupils


@pytest.mark.parametrize("version", ["1.1", "1.2"])
def test_nobody_is_a_pupil_and_one_of_the_staff_at_once(version: str) -> None:
    tables = sample(version)
    if version == "1.1":
        file = read(change(tables, "users", FIRST_PUPIL, role="student,teacher"))
        assert codes(file) == [("users.csv", FIRST_PUPIL, "role", "role.conflicting")]
    else:
        file = read(put(tables, "roles", userSourcedId="У0262", role="teacher", orgSourcedId="org-school"))
        assert codes(file) == [("users.csv", FIRST_PUPIL, None, "role.conflicting")]
    assert len(file.pupils) == 23


def test_of_several_roles_the_primary_one_is_what_somebody_is() -> None:
    for role_type, role in (("primary", "teacher"), ("secondary", "administrator")):
        tables = sample("1.2")
        teacher = next(row for row in tables["roles"][1:] if "teacher" in row)
        teacher[tables["roles"][0].index("roleType")] = role_type
        user = teacher[tables["roles"][0].index("userSourcedId")]
        put(tables, "roles", userSourcedId=user, role="siteAdministrator", roleType="secondary", orgSourcedId="org-school")
        assert {member.external_id: member.role for member in read(tables).staff}[user] == role


def test_of_several_school_years_the_first_that_is_not_over_is_read() -> None:
    tables = sample()
    put(tables, "academicSessions", sourcedId="past", schoolYear="2015", startDate="2014-09-01", endDate="2015-05-31")
    put(tables, "classes", sourcedId="class-4А", title="4А", classType="homeroom", schoolSourcedId="org-school", termSourcedIds="past")
    pupil = cell(tables, "users", FIRST_PUPIL, "sourcedId")
    put(tables, "enrollments", classSourcedId="class-4А", userSourcedId=pupil, role="student", beginDate="2014-09-01")
    put(tables, "users", sourcedId="У9", role="student", orgSourcedIds="org-school", givenName="Ян", familyName="Ким")
    put(tables, "enrollments", classSourcedId="class-4А", userSourcedId="У9", role="student", beginDate="2014-09-01")
    now = read(tables)
    assert [(row.grade, row.school_year) for row in now.classes] == [(5, 2015), (5, 2015)]
    assert warned(now) == [("classes.csv", 6, "class.other-year")]
    assert str(only(now.pupils, pupil).class_label) == "5А"
    assert codes(now) == []
    before = read(tables, today=date(2015, 3, 1))
    assert [(row.grade, row.school_year) for row in before.classes] == [(4, 2014)]
    assert len(read(tables, today=date(2026, 3, 1)).classes) == 2


def test_whoever_is_in_a_class_of_the_coming_year_alone_is_passed_over_with_it() -> None:
    tables = sample()
    put(tables, "academicSessions", sourcedId="next", schoolYear="2017", startDate="2016-09-01", endDate="2017-05-31")
    put(tables, "classes", sourcedId="class-6А", title="6А", classType="homeroom", schoolSourcedId="org-school", termSourcedIds="next")
    put(tables, "users", sourcedId="У9", role="student", orgSourcedIds="org-school", givenName="Ян", familyName="Ким")
    put(tables, "enrollments", classSourcedId="class-6А", userSourcedId="У9", role="student")
    found = read(tables)
    assert warned(found) == [("classes.csv", 6, "class.coming-year")]
    assert codes(found) == []
    assert "У9" not in {row.external_id for row in found.pupils}


def test_a_session_without_dates_has_the_year_that_it_ends_in() -> None:
    tables = sample()
    for row in range(2, 7):
        change(tables, "academicSessions", row, startDate="", endDate="")
    assert {row.school_year for row in read(tables).classes} == {2015}


def test_a_pupil_who_changed_class_is_in_the_later_one_and_one_who_left_is_passed_over() -> None:
    tables = sample()
    first, second = (cell(tables, "users", row, "sourcedId") for row in (FIRST_PUPIL, FIRST_PUPIL + 1))
    put(tables, "enrollments", classSourcedId="class-5Б", userSourcedId=first, role="student", beginDate="2015-10-01")
    row = next(number for number, cells in enumerate(tables["enrollments"], 1) if cells[3:6:2] == ["class-5А", second])
    change(tables, "enrollments", row, endDate="2015-10-10")
    file = read(tables, today=date(2015, 10, 20))
    assert str(only(file.pupils, first).class_label) == "5Б"
    assert second not in {pupil.external_id for pupil in file.pupils}
    assert (codes(file), warned(file)) == ([], [("enrollments.csv", row, "enrollment.ended")])
    assert [row.declared_pupils for row in file.classes] == [10, 13]


def test_of_several_schools_the_one_with_the_id_is_read_and_others_are_not_looked_at() -> None:
    tables = put(sample(), "orgs", sourcedId="org-other", name="Школа № 8", type="school", identifier="school-8")
    put(tables, "classes", sourcedId="class-8", title="непонятный", classType="homeroom", schoolSourcedId="org-other")
    put(tables, "users", sourcedId="У8", role="student", orgSourcedIds="org-other", givenName="Ян", familyName="Ким")
    put(tables, "enrollments", classSourcedId="class-8", userSourcedId="У8", role="student")
    assert refusal(tables).code == "file.school-unknown"
    file = read(change(tables, "orgs", 3, identifier="school-7"))
    assert (len(file.classes), len(file.pupils), codes(file)) == (2, 24, [])
    assert [code for _, _, code in warned(file)] == ["user.elsewhere"]


# -- rows that are wrong or passed over ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "row", "changed", "expected"),
    [
        ("users", FIRST_PUPIL, {"familyName": ""}, ("users.csv", 8, "familyName", "cell.blank")),
        ("users", FIRST_PUPIL, {"givenName": "1234"}, ("users.csv", 8, "givenName", "name.malformed")),
        ("users", FIRST_PUPIL, {"email": "нет адреса"}, ("users.csv", 8, "email", "email.malformed")),
        ("users", 2, {"phone": "звоните"}, ("users.csv", 2, "phone", "phone.malformed")),
        ("users", 9, {"sourcedId": "У0262"}, ("users.csv", 9, "sourcedId", "row.duplicate")),
        ("demographics", 2, {"birthDate": "31.02.2004"}, ("demographics.csv", 2, "birthDate", "date.unreadable")),
        ("demographics", 2, {"birthDate": ""}, ("demographics.csv", 2, "birthDate", "birth-date.missing")),
        ("demographics", 2, {"sourcedId": "другой"}, ("users.csv", 8, "sourcedId", "birth-date.missing")),
        ("demographics", 2, {"birthDate": "2015-09-02"}, ("demographics.csv", 2, "birthDate", "date.order")),
        ("enrollments", 6, {"beginDate": "скоро"}, ("enrollments.csv", 6, "beginDate", "date.unreadable")),
        ("enrollments", 6, {"userSourcedId": "никто"}, ("enrollments.csv", 6, "userSourcedId", "enrollment.user-unknown")),
        ("enrollments", 6, {"classSourcedId": "нигде"}, ("enrollments.csv", 6, "classSourcedId", "enrollment.class-unknown")),
        ("enrollments", 6, {"classSourcedId": "lessons-5А"}, ("users.csv", 8, "sourcedId", "enrollment.missing")),
        (
            "enrollments", 8, {"classSourcedId": "class-5Б", "userSourcedId": "У0262"},
            ("enrollments.csv", 8, "classSourcedId", "enrollment.ambiguous"),
        ),
    ],
)  # fmt: skip
def test_a_wrong_row_is_rejected_by_its_own_file_row_and_column(
    file: str, row: int, changed: dict[str, str], expected: tuple[str, int, str, str]
) -> None:
    found = read(change(sample(), file, row, **changed))
    assert expected in codes(found)
    assert len(found.pupils) + len(found.staff) >= 28
    said = " ".join(f"{one.hint} {one.column}" for one in (*found.errors, *found.warnings))
    assert not any(value in said for value in changed.values() if value)


def test_a_wrong_guardian_keeps_nobody_elses_row_out() -> None:
    tables = sample()
    guardian = cell(tables, "users", FIRST_PUPIL, "agentSourcedIds").split(",")[0]
    row = next(number for number, cells in enumerate(tables["users"], 1) if cells[0] == guardian)
    file = read(change(tables, "users", row, familyName=""))
    assert codes(file) == [("users.csv", row, "familyName", "cell.blank")]
    assert (len(file.pupils), len(file.pupils[0].guardians)) == (24, 1)


def test_unknown_columns_roles_and_files_are_warned_of_and_the_rest_is_read() -> None:
    tables = sample()
    for number, cells in enumerate(tables["users"]):
        cells.append("metadata.diet" if number == 0 else "без глютена")
    change(tables, "users", 7, role="ext:вахтёр")
    put(tables, "users", sourcedId="Р9", role="parent", orgSourcedIds="org-school", givenName="Ян", familyName="Ким")
    put(tables, "users", sourcedId="С9", role="teacher", orgSourcedIds="org-school", enabledUser="false", givenName="Ян", familyName="Ким")
    tables["notes"] = [["text"], ["секрет"]]
    file = read(tables)
    assert warned(file) == [
        ("notes.csv", None, "file.ignored"), ("users.csv", None, "column.unknown"), ("users.csv", 7, "role.unknown"),
        ("users.csv", 80, "user.disabled"), ("users.csv", 79, "guardian.without-pupil"),
    ]  # fmt: skip
    assert (codes(file), len(file.staff), len(file.pupils)) == ([], 5, 24)


def test_a_third_guardian_is_told_of_and_relatives_come_last() -> None:
    tables = sample()
    for guardian, role in (("Р7", "relative"), ("Р8", "guardian")):
        put(tables, "users", sourcedId=guardian, role=role, orgSourcedIds="org-school", givenName="Ян", familyName="Ким")
    names = cell(tables, "users", FIRST_PUPIL, "agentSourcedIds").split(",")
    file = read(change(tables, "users", FIRST_PUPIL, agentSourcedIds=",".join(["Р7", names[0], "Р8"])))
    assert [one.external_id for one in file.pupils[0].guardians] == [names[0], "Р8"]
    assert warned(file)[0] == ("users.csv", FIRST_PUPIL, "guardian.too-many")


def test_every_row_with_a_third_guardian_is_named() -> None:
    tables = sample()
    put(tables, "users", sourcedId="Р7", role="parent", orgSourcedIds="org-school", givenName="Ян", familyName="Ким")
    rows = [row for row in range(FIRST_PUPIL, FIRST_PUPIL + 24) if cell(tables, "users", row, "agentSourcedIds").count(",") == 1]
    for row in rows:
        change(tables, "users", row, agentSourcedIds=f"{cell(tables, 'users', row, 'agentSourcedIds')},Р7")
    warning = next(one for one in read(tables).warnings if one.code == "guardian.too-many")
    assert len(rows) > 10
    assert warning.hint.endswith(f"it is so in {len(rows)} rows: {', '.join(map(str, rows[:20]))}{', …' if len(rows) > 20 else ''}")


def test_status_and_dates_of_change_mean_nothing_in_bulk() -> None:
    tables = sample()
    for row in range(2, len(tables["users"]) + 1):
        change(tables, "users", row, status="tobedeleted", dateLastModified="2015-08-01T00:00:00.000Z")
    assert [dict(pupil) for pupil in read(tables).pupils] == [dict(pupil) for pupil in read(sample()).pupils]


# -- the manifest and the files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "code", "file"),
    [
        ({"file__users": "delta"}, "file.oneroster-delta", "export.zip"),
        ({"file__users": "absent"}, "file.oneroster-incomplete", "manifest.csv"),
        ({"file__users": "some"}, "file.manifest-malformed", "manifest.csv"),
        ({"propertyName": ""}, None, ""),
        ({"oneroster__version": "1.2"}, None, ""),  # the roles stand in users.csv
        ({"oneroster__version": "1.0"}, "file.oneroster-version", "manifest.csv"),
        ({"oneroster__version": ""}, "file.oneroster-version", "manifest.csv"),
        ({"file__results": "delta"}, None, ""),
        ({"file__lineItems": "bulk"}, None, ""),
    ],
)
def test_what_the_manifest_says_is_honoured(said: dict[str, str], code: str | None, file: str) -> None:
    tables = manifest(sample(), **said)
    if code is None:
        assert len(read(tables).pupils) == 24
    else:
        assert (refusal(tables).code, refusal(tables).file) == (code, file)


def test_what_is_absent_by_the_manifest_is_not_read_even_if_it_is_there() -> None:
    file = read(manifest(sample(), file__demographics="absent"))
    assert {error.code for error in file.errors} == {"birth-date.missing"}
    assert (len(file.pupils), len(file.classes), len(file.staff)) == (0, 2, 6)
    assert warned(file)[0] == ("demographics.csv", None, "file.ignored")


@pytest.mark.parametrize("missing", ["orgs", "users", "classes", "enrollments", "academicSessions"])
def test_a_file_that_the_manifest_promises_has_to_be_there(missing: str) -> None:
    tables = sample()
    del tables[missing]
    refused = refusal(tables)
    assert (refused.code, f"{missing}.csv" in refused.text) == ("file.oneroster-incomplete", True)


def test_files_without_a_manifest_and_one_file_alone_are_refused_with_what_is_missing() -> None:
    tables = sample()
    del tables["manifest"]
    assert refusal(tables).code == "file.manifest-missing"
    assert refusal((SAMPLES / "oneroster-1.1" / "users.csv").read_bytes()).code == "file.oneroster-incomplete"


@pytest.mark.parametrize(("encoding", "delimiter"), [("utf-8-sig", ","), ("cp1251", ";"), ("utf-8", "\t"), ("utf-8-sig", ";")])
def test_an_export_reads_the_same_in_every_encoding_with_every_delimiter_and_in_a_folder_of_the_archive(
    encoding: str, delimiter: str
) -> None:
    tables = sample()
    tables["users"] = [row for row in tables["users"] if not set("җәөҺ") & set("".join(row).casefold())]
    expected = read(tables)
    content = packed(tables, encoding=encoding, delimiter=delimiter, folder="выгрузка/")
    file = read_roster(content, "export.zip", school="school-7", today=TODAY)
    assert (file.pupils, file.staff, file.classes) == (expected.pupils, expected.staff, expected.classes)
    assert {(table.encoding, table.delimiter) for table in file.detected} == {(encoding, delimiter)}


def test_a_folder_reads_like_its_archive() -> None:
    file = read_roster(SAMPLES / "oneroster-1.2", school="school-7", today=TODAY)
    assert file == read(sample("1.2"))


def test_titles_may_differ_in_case_and_order_but_none_may_be_missing_or_stand_twice() -> None:
    tables = sample()
    tables["users"] = [row[::-1] for row in tables["users"]]
    tables["users"][0] = [title.upper() for title in tables["users"][0]]
    assert read(tables).pupils == read(sample()).pupils
    tables = sample()
    tables["classes"][0][3] = "name"
    assert refusal(tables).code == "file.column-missing"
    tables = sample()
    tables["classes"][0][4] = "title"
    assert refusal(tables).code == "file.column-repeated"


def _with_member(name: str, content: bytes) -> bytes:
    archive = io.BytesIO(packed(sample()))
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as more:
        more.writestr(name, content)
    return archive.getvalue()


def _with_bomb() -> bytes:
    tables = sample()
    del tables["users"]
    archive = io.BytesIO(packed(tables))
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as more, more.open("users.csv", "w") as member:
        for _ in range(300):
            member.write(b"0" * 2**20)
    return archive.getvalue()


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (_with_bomb, "file.too-large"),
        (lambda: _with_member("../users.csv", b""), "file.path-outside"),
        (lambda: _with_member("/etc/users.csv", b""), "file.path-outside"),
        (lambda: _with_member("..\\users.csv", b""), "file.path-outside"),
        (lambda: _with_member("inner.zip", packed(sample())), "file.archive-nested"),
        (lambda: _with_member("second/users.csv", b"sourcedId\n"), "file.repeated"),
        (lambda: packed(sample())[:3000], "file.unreadable"),
        (lambda: packed(sample() | {"users": [["\0"]]}), "file.unreadable"),
        (lambda: packed(change(sample(), "users", 2, familyName="я" * 10_001)), "file.cell-too-long"),
    ],
)
def test_an_archive_that_is_a_trap_or_damaged_is_refused(make: Callable[[], bytes], code: str) -> None:
    assert refusal(make()).code == code


def test_an_archive_that_holds_only_an_archive_is_refused() -> None:
    outer = io.BytesIO()
    with zipfile.ZipFile(outer, "w") as archive:
        archive.writestr("export.zip", packed(sample()))
    assert refusal(outer.getvalue()).code == "file.archive-nested"


def test_what_is_not_read_is_not_unpacked() -> None:
    archive = io.BytesIO(packed(sample()))
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as more, more.open("results.csv", "w") as member:
        for _ in range(300):
            member.write(b"0" * 2**20)
    assert len(read_roster(archive.getvalue(), "export.zip", school="school-7", today=TODAY).pupils) == 24


# -- the rejected rows ---------------------------------------------------------------------------------------------------------------------


def test_the_rejected_rows_come_back_as_an_export_that_can_be_corrected_and_read_again() -> None:
    tables = change(sample(), "users", FIRST_PUPIL, familyName="")
    change(tables, "users", FIRST_PUPIL + 1, phone="+7 (000) 266-86-31")
    change(tables, "demographics", 4, birthDate="31.02.2004")
    content = packed(tables)
    errors = read(tables).errors
    back = write_rejected(content, errors, "export.zip")
    assert back is not None
    assert back.name == "rejected.zip"
    again = read_roster(back.content, back.name, school="school-7", today=TODAY)
    assert {(error.file, error.column, error.code) for error in again.errors} == {(one.file, one.column, one.code) for one in errors}
    assert again.warnings == ()
    with zipfile.ZipFile(io.BytesIO(back.content)) as archive:
        corrected = {
            name.removesuffix(".csv"): list(csv.reader(io.StringIO(archive.read(name).decode("utf-8-sig"), newline="")))
            for name in archive.namelist()
        }
    assert "familyName: " in corrected["users"][1][1]
    corrected["users"][1][corrected["users"][0].index("familyName")] = "Белоусова"
    corrected["demographics"][2][corrected["demographics"][0].index("birthDate")] = "17.03.2004"
    whole = read(corrected)
    assert codes(whole) == []
    expected = {pupil.external_id: pupil for pupil in read(sample()).pupils}
    first = only(whole.pupils, cell(tables, "users", FIRST_PUPIL, "sourcedId"))
    assert [dict(one) for one in first.guardians] == [dict(one) for one in expected[first.external_id].guardians]
    assert len(whole.pupils) < 6


def test_a_rejected_class_comes_back_with_its_teacher_and_its_pupils() -> None:
    tables = change(sample(), "classes", 2, title="Солнышко")
    back = write_rejected(packed(tables), read(tables).errors, "export.zip")
    assert back is not None
    with zipfile.ZipFile(io.BytesIO(back.content)) as archive:
        corrected = {
            name.removesuffix(".csv"): list(csv.reader(io.StringIO(archive.read(name).decode("utf-8-sig"), newline="")))
            for name in archive.namelist()
        }
    corrected["classes"][1][corrected["classes"][0].index("title")] = "5А"
    whole = read(corrected)
    assert codes(whole) == []
    assert ([row.external_id for row in whole.staff], len(whole.pupils)) == (["115"], 12)
    assert [(row.declared_pupils, row.class_teacher_id) for row in whole.classes] == [(12, "115"), (0, None)]


def test_where_nothing_was_rejected_nothing_comes_back() -> None:
    assert write_rejected(packed(sample()), (), "export.zip") is None


def test_the_samples_can_be_written_again(tmp_path: Path) -> None:
    subprocess.run([sys.executable, SAMPLES / "oneroster.py", tmp_path], check=True)
    written = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.csv"))
    assert len(written) == 17
    for path in written:
        assert (tmp_path / path).read_bytes() == (SAMPLES / path).read_bytes()
