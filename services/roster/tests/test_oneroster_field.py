"""OneRoster exports as programs in the field write them: each is read, or refused with what has to be changed.

Their ways are made here, of the sample and of a school as a program for American ones would export it.
"""

import csv
import io
import re
import uuid
import zipfile
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path

import pytest

from roster.files import FileRefused, RosterFile, read_roster

SAMPLES = Path(__file__).parents[1] / "samples"
TODAY = date(2015, 9, 7)

Tables = dict[str, list[list[str]]]


def sample(version: str = "1.1") -> Tables:
    """The files of the sample by name, each with its titles first."""
    folder = SAMPLES / f"oneroster-{version}"
    return {path.stem: list(csv.reader(io.StringIO(path.read_text("utf-8"), newline=""))) for path in folder.glob("*.csv")}


def every(tables: Tables, file: str, column: str, change: Callable[[str], str]) -> Tables:
    index = tables[file][0].index(column)
    for row in tables[file][1:]:
        row[index] = change(row[index])
    return tables


def with_cells(tables: Tables, file: str, row: int, **cells: str) -> Tables:
    """Writes cells of a row, by its number in a spreadsheet."""
    for column, cell in cells.items():
        tables[file][row - 1][tables[file][0].index(column)] = cell
    return tables


def manifest(tables: Tables, **values: str | None) -> Tables:
    """Sets what the manifest says of a property, or leaves it out; `__` stands for the dot."""
    wanted = {name.replace("__", "."): value for name, value in values.items()}
    rows = [(name, wanted.pop(name, value)) for name, value in tables["manifest"]]
    tables["manifest"] = [[name, value] for name, value in [*rows, *wanted.items()] if value is not None]
    return tables


def packed(tables: Tables, *, quoting: int = csv.QUOTE_MINIMAL, ends: str = "\r\n", bom: bool = False, folder: str = "") -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, rows in tables.items():
            text = io.StringIO(newline="")
            csv.writer(text, quoting=quoting, lineterminator=ends).writerows(rows)  # pyright: ignore[reportArgumentType] - its constants are ints
            archive.writestr(f"{folder}{name}.csv", text.getvalue().encode("utf-8-sig" if bom else "utf-8"))
    return content.getvalue()


def read(content: bytes | Tables, school: str = "school-7") -> RosterFile:
    content = content if isinstance(content, bytes) else packed(content)
    return read_roster(content, "export.zip", school=school, today=TODAY)


def refusal(tables: Tables) -> FileRefused:
    with pytest.raises(FileRefused) as caught:
        read(tables)
    assert caught.value.hint
    return caught.value


def who(file: RosterFile) -> object:
    """What matters of a file: its classes, its staff, its pupils and their guardians."""
    return (
        sorted((row.grade, row.letter, row.declared_pupils, row.class_teacher_id or "") for row in file.classes),
        sorted(row.external_id for row in file.staff),
        sorted(
            (row.external_id, str(row.class_label), row.born_on, tuple(one.external_id for one in row.guardians)) for row in file.pupils
        ),
    )


def warned(file: RosterFile) -> set[tuple[str, str]]:
    return {(warning.file, warning.code) for warning in file.warnings}


PLAIN = who(read(sample()))


# -- how it is written ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "how",
    [
        {"quoting": csv.QUOTE_ALL},
        {"quoting": csv.QUOTE_ALL, "bom": True},
        {"ends": "\n", "bom": True},
        {"folder": "OneRoster/2015-09-07/"},
        {"folder": "export\\"},
    ],
    ids=str,
)
@pytest.mark.parametrize("version", ["1.1", "1.2"])
def test_quotes_line_ends_a_byte_order_mark_and_folders_make_no_difference(version: str, how: Mapping[str, object]) -> None:
    content = packed(sample(version), **how)  # pyright: ignore[reportArgumentType] - each is what its parameter wants
    assert who(read(content)) == PLAIN


def _upper(tables: Tables) -> Tables:
    """TRUE and FALSE as a spreadsheet program writes them, roles and types with a capital."""
    for file, column in (("users", "enabledUser"), ("enrollments", "primary")):
        every(tables, file, column, str.upper)
    for file, column in (("enrollments", "role"), ("users", "role"), ("orgs", "type"), ("classes", "classType"), ("demographics", "sex")):
        every(tables, file, column, str.capitalize)
    return tables


def _in_russian(tables: Tables) -> Tables:
    """What a Russian spreadsheet program makes of true, false and dates when an export is saved in it; Russian words for the sexes."""
    every(tables, "demographics", "sex", lambda cell: {"male": "М", "female": "Ж"}.get(cell, cell))
    for file, column in (("users", "enabledUser"), ("enrollments", "primary")):
        every(tables, file, column, lambda cell: {"true": "ИСТИНА", "false": "ЛОЖЬ"}.get(cell, cell))
    return every(tables, "demographics", "birthDate", lambda cell: ".".join(reversed(cell.split("-"))))


def _without_an_end(tables: Tables) -> Tables:
    """What databases write where there is none."""
    for file in ("academicSessions", "enrollments"):
        every(tables, file, "endDate", lambda _: "9999-12-31T23:59:59.997")
    return every(tables, "enrollments", "beginDate", lambda _: "0001-01-01 00:00:00")


def _told_for_each_org(tables: Tables) -> Tables:
    tables["demographics"] += tables["demographics"][1:]
    return tables


def _with_times(tables: Tables) -> Tables:
    every(tables, "demographics", "birthDate", lambda cell: f"{cell}T00:00:00.000Z" if cell else "")
    every(tables, "enrollments", "beginDate", lambda cell: f"{cell}T08:30:00+03:00")
    every(tables, "enrollments", "endDate", lambda cell: f"{cell} 21:00:00Z")
    return every(tables, "academicSessions", "startDate", lambda cell: f"{cell}T00:00:00+03:00")


def _spaced(tables: Tables) -> Tables:
    """Lists with a space behind each comma and one at the end."""
    every(tables, "classes", "termSourcedIds", lambda cell: cell.replace(",", ", "))
    return every(tables, "users", "agentSourcedIds", lambda cell: f" {cell.replace(',', ' , ')},")


def _stamped(tables: Tables) -> Tables:
    """`status` and `dateLastModified` filled in, though the files are bulk."""
    for file in tables.keys() - {"manifest"}:
        every(tables, file, "status", lambda _: "active")
        every(tables, file, "dateLastModified", lambda _: "2015-09-01T03:00:00.000Z")
    return tables


def _minimal_manifest(tables: Tables) -> Tables:
    names = ("orgs", "users", "courses", "classes", "enrollments", "academicSessions", "demographics")
    tables["manifest"] = [["propertyName", "value"], ["oneroster.version", "1.1"], *([f"file.{name}", "bulk"] for name in names)]
    return tables


def _blank_modes(tables: Tables) -> Tables:
    tables["manifest"] = [[name, "" if value == "absent" else value] for name, value in tables["manifest"]]
    return manifest(tables, source__systemName="", source__systemCode="")


def _with_results(tables: Tables) -> Tables:
    """Gradebook and resources beside the roster, with their own columns."""
    tables["results"] = [["sourcedId", "status", "lineItemSourcedId", "studentSourcedId", "score"], ["r1", "", "l1", "x", "5"]]
    tables["lineItems"] = [["sourcedId", "title"], ["l1", "Контрольная"]]
    tables["userProfiles"] = [["sourcedId", "username", "password"], ["u", "логин", "секрет"]]
    return manifest(tables, file__results="bulk", file__lineItems="bulk", file__userProfiles="bulk")


def _without_class_type(tables: Tables) -> Tables:
    """No homerooms are marked, and there are no groups for lessons."""
    rows = tables["classes"]
    tables["classes"] = [row for row in rows if not row[0].startswith("lessons-")]
    tables["enrollments"] = [row for row in tables["enrollments"] if not row[3].startswith("lessons-")]
    return every(tables, "classes", "classType", lambda _: "scheduled")


def _other_grades(tables: Tables) -> Tables:
    """Grades without a zero, and those that no Russian school has beside the groups for lessons."""
    every(tables, "classes", "grades", lambda cell: cell.lstrip("0"))
    for row in tables["classes"][1:]:
        if row[0].startswith("lessons-"):
            row[tables["classes"][0].index("grades")] = "PK,KG,IT,13"
    return every(tables, "users", "grades", lambda cell: "KG" if cell else "")


@pytest.mark.parametrize(
    "change",
    [
        _upper,
        _in_russian,
        _without_an_end,
        _told_for_each_org,
        _with_times,
        _spaced,
        _stamped,
        _minimal_manifest,
        _blank_modes,
        _with_results,
        _without_class_type,
        _other_grades,
    ],
    ids=lambda change: change.__name__.strip("_"),
)
def test_what_programs_write_otherwise_is_read_the_same(change: Callable[[Tables], Tables]) -> None:
    file = read(change(sample()))
    assert not file.errors
    assert who(file) == PLAIN


@pytest.mark.parametrize("said", ["1.1.0", "v1.1", "V1.1", "v1p1", "OneRoster 1.1"])
def test_the_version_may_be_written_in_several_ways(said: str) -> None:
    assert who(read(manifest(sample(), oneroster__version=said))) == PLAIN


@pytest.mark.parametrize("sign", [";", "|", " ; "])
def test_guardians_may_be_listed_with_other_signs_than_commas(sign: str) -> None:
    tables = every(sample(), "users", "agentSourcedIds", lambda cell: cell.replace(",", sign))
    assert who(read(tables)) == PLAIN


@pytest.mark.parametrize("orgs", ["org-district;org-school", "org-district | org-school", "org-district, org-school"])
def test_a_person_of_several_orgs_is_one_of_the_schools(orgs: str) -> None:
    assert who(read(every(sample(), "users", "orgSourcedIds", lambda cell: orgs))) == PLAIN


@pytest.mark.parametrize("word", ["N/A", "null", "none", "нет"])
def test_a_word_for_nothing_is_nothing_in_an_export_too(word: str) -> None:
    tables = sample()
    for column in ("email", "phone", "middleName"):
        every(tables, "users", column, lambda cell: word)
    file = read(tables)
    assert (file.errors, len(file.pupils), len(file.staff)) == ((), len(read(sample()).pupils), len(read(sample()).staff))
    assert {(pupil.email, pupil.patronymic) for pupil in file.pupils} == {(None, None)}


@pytest.mark.parametrize("version", ["1.1", "1.2"])
@pytest.mark.parametrize("word", ["NULL", "null", "(null)", r"\N"])
def test_what_a_database_writes_for_nothing_is_nothing_in_every_column(version: str, word: str) -> None:
    tables = sample(version)
    for file, rows in tables.items():
        if file != "manifest":
            tables[file] = [rows[0], *([cell or word for cell in row] for row in rows[1:])]
    file = read(tables)
    plain = read(sample(version))
    assert (file.pupils, file.staff, file.classes, file.errors) == (plain.pupils, plain.staff, plain.classes, ())


def test_somebody_may_be_called_null() -> None:
    tables = sample()
    every(tables, "users", "familyName", lambda _: "Null")
    assert {pupil.last_name for pupil in read(tables).pupils} == {"Null"}


@pytest.mark.parametrize("version", ["1.1", "1.2"])
@pytest.mark.parametrize("cell", ["teacher,parent", "Teacher; Parent", "parent|teacher"])
def test_several_roles_in_one_cell_are_read_and_told_of(version: str, cell: str) -> None:
    tables = sample(version)
    told = every(tables, "users" if version == "1.1" else "roles", "role", lambda role: cell if role == "teacher" else role)
    file = read(told)
    assert (file.staff, file.errors) == (read(sample(version)).staff, ())
    assert [(warning.file, warning.code) for warning in file.warnings] == [
        ("users.csv" if version == "1.1" else "roles.csv", "role.several")
    ]


def test_an_export_that_says_1_1_and_has_its_roles_as_1_2_has_is_told_of() -> None:
    refused = refusal(manifest(sample("1.2"), oneroster__version="1.1"))
    assert (refused.code, refused.file) == ("file.oneroster-version", "manifest.csv")
    assert "`oneroster.version,1.2` and `file.roles,bulk`" in refused.hint


def test_whoever_had_a_role_until_the_other_day_is_told_of_once() -> None:
    file = read(every(sample("1.2"), "roles", "endDate", lambda _: "2014-01-01"))
    assert [warning.code for warning in file.warnings] == ["role.ended"]


def test_an_org_that_is_listed_twice_is_one() -> None:
    tables = sample()
    tables["orgs"] += tables["orgs"][1:]
    assert who(read(tables)) == PLAIN


def test_a_role_may_be_written_in_two_words() -> None:
    tables = every(sample("1.2"), "roles", "role", lambda role: "Site Administrator" if role == "principal" else role)
    assert read(tables).staff[0].role == "administrator"


@pytest.mark.parametrize("sign", [";", " | "])
def test_sessions_may_be_listed_with_other_signs_than_commas(sign: str) -> None:
    tables = every(sample(), "classes", "termSourcedIds", lambda cell: f"{cell}{sign}{cell}")
    assert who(read(tables)) == PLAIN


@pytest.mark.parametrize("day", ["2015/09/01", "2015.09.01", "2015-9-1"])
def test_a_day_whose_year_comes_first_is_read(day: str) -> None:
    file = read(every(sample(), "enrollments", "beginDate", lambda cell: day if cell else ""))
    assert file.errors == ()
    assert {pupil.enrolled_on for pupil in file.pupils} == {date(2015, 9, 1)}


def test_a_manifest_without_its_titles_says_what_its_first_line_is() -> None:
    tables = sample()
    tables["manifest"] = tables["manifest"][1:]
    refused = refusal(tables)
    assert (refused.code, refused.file) == ("file.manifest-malformed", "manifest.csv")
    assert "`propertyName,value`" in refused.hint


def test_a_row_of_which_the_same_is_told_twice_counts_once() -> None:
    tables = sample()
    only = next(row for row in tables["users"] if "student" in row)
    for row in tables["users"][1:]:
        row[tables["users"][0].index("agentSourcedIds")] = "nobody,nobody-else" if row is only else ""
    (warning,) = [one for one in read(tables).warnings if one.code == "guardian.unknown"]
    assert (warning.row, "rows" in warning.hint) == (tables["users"].index(only) + 1, False)


def test_an_id_that_holds_such_a_sign_is_not_parted() -> None:
    tables = sample()
    for file, column in (("users", "sourcedId"), ("demographics", "sourcedId"), ("enrollments", "userSourcedId")):
        every(tables, file, column, lambda cell: f"{cell};1")
    every(tables, "users", "agentSourcedIds", lambda cell: ",".join(f"{one};1" for one in cell.split(",") if one))
    assert [len(pupil.guardians) for pupil in read(tables).pupils] == [len(pupil.guardians) for pupil in read(sample()).pupils]


@pytest.mark.parametrize(
    "title",
    [
        *("5-А", "5 А класс", "5 класс А", "Класс 5 А", "5 кл. А", "5 кл А", "5/А", "5_А", "5-й А", "5й «А» класс", "05А", "5A"),
        *("Homeroom 5A", "5А homeroom"),
        *("5А 2015/2016", "5А (2015-2016)", "5 «А», 2015/16 уч. год", "5А (2015/2016 учебный год)"),
    ],
)
def test_a_class_may_be_titled_in_many_ways(title: str) -> None:
    tables = every(sample(), "classes", "title", lambda cell: title if cell == "5 «А»" else cell)
    assert who(read(every(tables, "classes", "grades", lambda _: "KG"))) == PLAIN


@pytest.mark.parametrize("title", ["5АБ", "5А1", "Пятый А", "5А кадетский", "12А", "0А", "5", "2015/2016"])
def test_a_class_that_is_titled_otherwise_is_rejected_with_what_a_title_looks_like(title: str) -> None:
    file = read(every(sample(), "classes", "title", lambda cell: title if cell == "5 «А»" else cell))
    (error,) = (error for error in file.errors if error.file == "classes.csv")
    assert (error.column, error.code) == ("title", "class.title-unknown")
    assert "5А" in error.hint
    assert {str(row.class_label) for row in file.pupils} == {"5Б"}


def test_ids_may_be_long_and_have_signs() -> None:
    tables = sample()
    for file, columns in {
        "users": ("sourcedId",), "demographics": ("sourcedId",), "enrollments": ("userSourcedId",),
    }.items():  # fmt: skip
        for column in columns:
            every(tables, file, column, lambda cell: f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, cell)}/{{{cell}}}")
    every(
        tables,
        "users",
        "agentSourcedIds",
        lambda cell: ",".join(f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, one)}/{{{one}}}" for one in cell.split(",") if one),
    )
    file = read(tables)
    assert (len(file.pupils), len(file.staff), file.errors) == (24, 6, ())
    assert all(len(pupil.external_id) > 45 and pupil.guardians for pupil in file.pupils)


def test_in_1_2_the_roles_may_stand_in_users_as_before() -> None:
    tables = manifest(sample(), oneroster__version="1.2")
    assert "roles" not in tables
    assert who(read(tables)) == PLAIN


def test_in_1_2_without_any_roles_it_is_said_that_they_are_missing() -> None:
    tables = manifest(sample("1.2"), file__roles="absent")
    refused = refusal(tables)
    assert (refused.code, refused.file) == ("file.oneroster-incomplete", "manifest.csv")
    assert "roles.csv" in refused.text


def test_a_birthday_with_another_time_behind_it_is_not_guessed_at() -> None:
    tables = every(sample(), "demographics", "birthDate", lambda cell: f"{cell}T20:00:00Z" if cell else "")
    errors = read(tables).errors
    assert {(error.file, error.column, error.code) for error in errors} == {("demographics.csv", "birthDate", "date.unreadable")}
    assert all("2015-08-17" in error.hint for error in errors)


def test_groups_for_lessons_that_are_left_out_of_the_classes_keep_nobody_out() -> None:
    tables = sample()
    kind = tables["classes"][0].index("classType")
    tables["classes"] = [row for index, row in enumerate(tables["classes"]) if index == 0 or row[kind] == "homeroom"]
    file = read(tables)
    assert (who(file), file.errors, warned(file)) == (PLAIN, (), {("enrollments.csv", "enrollment.class-unknown")})


def test_a_pupil_whose_only_class_is_not_there_is_rejected_and_others_are_not() -> None:
    tables = sample()
    user, key = (tables["enrollments"][0].index(column) for column in ("userSourcedId", "classSourcedId"))
    pupil = read(tables).pupils[0].external_id
    for row in tables["enrollments"][1:]:
        if row[user] == pupil:
            row[key] = "class-9Я"
    file = read(tables)
    assert {(error.file, error.code) for error in file.errors} == {("enrollments.csv", "enrollment.class-unknown")}
    assert len(file.pupils) == 23


def test_of_who_has_gone_an_enrollment_may_still_be_there() -> None:
    tables = sample()
    titles = tables["enrollments"][0]
    row = dict(zip(titles, tables["enrollments"][1], strict=True))
    gone = {**row, "sourcedId": "gone", "userSourcedId": "gone", "role": "student", "endDate": "2015-09-01"}
    tables["enrollments"].append([gone[title] for title in titles])
    file = read(tables)
    assert (who(file), file.errors, warned(file)) == (PLAIN, (), {("enrollments.csv", "enrollment.ended")})


_TOLD_OF = {
    "orgs": "org.to-be-deleted",
    "academicSessions": "session.to-be-deleted",
    "classes": "class.to-be-deleted",
    "users": "user.to-be-deleted",
    "roles": "role.to-be-deleted",
    "enrollments": "enrollment.to-be-deleted",
    "demographics": "demographics.to-be-deleted",
}


@pytest.mark.parametrize("file", _TOLD_OF)
def test_a_status_in_a_whole_file_is_told_of_and_changes_nothing(file: str) -> None:
    found = read(every(sample("1.2"), file, "status", lambda _: "tobedeleted"))
    assert (who(found), warned(found)) == (PLAIN, {(f"{file}.csv", _TOLD_OF[file])})
    assert warned(read(every(sample("1.2"), file, "status", lambda _: "active"))) == set()


# -- what was and what will be -------------------------------------------------------------------------------------------------------------


def _enrolled_again(tables: Tables, row: int, **cells: str) -> Tables:
    """Adds an enrollment like that of a row, with other cells."""
    tables["enrollments"].append([*tables["enrollments"][row - 1]])
    return with_cells(tables, "enrollments", len(tables["enrollments"]), sourcedId="again", **cells)


def test_an_enrollment_that_begins_later_waits_for_its_day() -> None:
    tables = _enrolled_again(sample(), 6, classSourcedId="class-5Б", beginDate="2016-01-11")
    file = read(tables)
    assert (who(file), file.errors, warned(file)) == (PLAIN, (), {("enrollments.csv", "enrollment.begins-later")})


def test_who_is_enrolled_from_a_later_day_on_alone_is_entered() -> None:
    file = read(with_cells(sample(), "enrollments", 6, beginDate="2015-09-14"))
    assert (who(file), warned(file)) == (PLAIN, set())


def test_who_will_teach_a_class_next_is_not_its_teacher_yet() -> None:
    tables = _enrolled_again(sample(), 2, userSourcedId="116", beginDate="2016-01-11")
    assert who(read(tables)) == PLAIN


def test_of_a_class_in_which_a_pupil_is_enrolled_for_each_term_the_first_day_counts() -> None:
    file = read(_enrolled_again(sample(), 6, beginDate="2015-09-04"))
    assert (who(file), file.errors) == (PLAIN, ())
    assert {pupil.enrolled_on for pupil in file.pupils if pupil.external_id == "У0262"} == {date(2015, 9, 1)}


def test_a_school_year_that_is_over_is_told_of() -> None:
    content = packed(every(sample(), "enrollments", "endDate", lambda _: ""))
    file = read_roster(content, "export.zip", school="school-7", today=date(2016, 6, 1))
    (told,) = [warning.hint for warning in file.warnings if warning.code == "year.over"]
    assert "2015/2016, which ended on 31.05.2016" in told
    assert who(file) == PLAIN


@pytest.mark.parametrize("nothing", ["1900-01-01", "0001-01-01", "1753-01-01T00:00:00", "31.12.9999"])
def test_what_a_database_writes_for_no_day_is_no_birthday(nothing: str) -> None:
    file = read(with_cells(sample(), "demographics", 2, birthDate=nothing))
    assert [(error.file, error.row, error.code) for error in file.errors] == [("demographics.csv", 2, "birth-date.missing")]


# -- what does not fit together ------------------------------------------------------------------------------------------------------------


def test_a_row_with_an_unquoted_comma_is_rejected_though_its_last_cell_is_blank() -> None:
    tables = sample()
    tables["users"][7].insert(8, "Анна")
    file = read(tables)
    assert [(error.file, error.row, error.code) for error in file.errors] == [("users.csv", 8, "row.too-long")]
    assert len(file.pupils) == 23


@pytest.mark.parametrize("but", [0, 1, 5])
def test_rows_that_end_with_commas_are_read_though_some_do_not(but: int) -> None:
    tables = sample()
    for row in tables["users"][1 + but :]:
        row += ["", ""]
    assert who(read(tables)) == PLAIN


def test_an_enrollment_as_student_of_who_is_none_is_told_of() -> None:
    file = read(_enrolled_again(sample(), 6, userSourcedId="101"))
    assert (who(file), warned(file)) == (PLAIN, {("enrollments.csv", "enrollment.not-a-pupil")})


def test_birthdays_of_nobody_are_told_of() -> None:
    file = read(with_cells(sample(), "demographics", 2, sourcedId="никто"))
    assert ("demographics.csv", "demographics.user-unknown") in warned(file)


def test_an_office_of_a_district_gives_nobody_an_office_in_the_school() -> None:
    tables = every(sample("1.2"), "roles", "role", lambda role: "districtAdministrator" if role == "principal" else role)
    (member,) = [row for row in read(tables).staff if row.external_id == "101"]
    assert (member.role, member.position) == ("other", "Администратор округа")


# -- above the titles ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "above",
    [[""], ["", "", ""], ["sep=,"], ["Выгрузка от 07.09.2015"], ["Пользователи", ""]],
    ids=["blank", "commas", "sep", "title", "words"],
)
@pytest.mark.parametrize("version", ["1.1", "1.2"])
def test_titles_may_stand_below_a_line_that_says_nothing(version: str, above: list[str]) -> None:
    tables = sample(version)
    for name, rows in tables.items():
        if name != "manifest":
            rows.insert(0, above)
    assert who(read(tables)) == PLAIN


def test_the_manifest_may_name_files_with_their_ending_and_nothing_twice() -> None:
    tables = sample()
    tables["manifest"] = [[f"{name}.csv" if name.startswith("file.") else name, value] for name, value in tables["manifest"]]
    assert who(read(tables)) == PLAIN
    tables["manifest"].append(["file.users", "absent"])
    assert refusal(tables).code == "file.manifest-malformed"


def test_a_file_in_another_encoding_is_to_be_exported_again_as_csv() -> None:
    tables = sample()
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, rows in tables.items():
            text = io.StringIO(newline="")
            csv.writer(text).writerows(rows)
            archive.writestr(f"{name}.csv", text.getvalue().encode("utf-16" if name == "users" else "utf-8"))
    with pytest.raises(FileRefused) as caught:
        read(content.getvalue())
    assert (caught.value.code, caught.value.file) == ("file.unreadable", "users.csv")
    assert ".xlsx" not in caught.value.hint


def test_a_person_may_have_a_row_for_each_org_and_no_two_that_differ_otherwise() -> None:
    tables = sample()
    titles = tables["users"][0]
    org, last_name = titles.index("orgSourcedIds"), titles.index("familyName")
    first = tables["users"][1]
    tables["users"].append([*first[:org], "org-district", *first[org + 1 :]])
    assert (who(read(tables)), read(tables).errors) == (PLAIN, ())
    tables["users"].append([*first[:last_name], "Другая", *first[last_name + 1 :]])
    assert [(error.row, error.code) for error in read(tables).errors] == [(len(tables["users"]), "row.duplicate")]


def test_whoever_is_not_enabled_is_passed_over_in_whatever_words_and_other_words_are_told_of() -> None:
    pupil = next(number for number, row in enumerate(sample()["users"], 1) if "student" in row)
    for word in ("false", "ЛОЖЬ", "Нет", "f", "0"):
        file = read(with_cells(sample(), "users", pupil, enabledUser=word))
        assert (len(file.pupils), ("users.csv", "user.disabled") in warned(file)) == (23, True)
    file = read(with_cells(sample(), "users", pupil, enabledUser="paused"))
    assert (len(file.pupils), warned(file)) == (24, {("users.csv", "user.enabled-unknown")})


def test_of_two_birthdays_of_one_pupil_neither_is_chosen() -> None:
    tables = sample()
    tables["demographics"].append(list(tables["demographics"][1]))
    with_cells(tables, "demographics", len(tables["demographics"]), birthDate="2004-01-01")
    file = read(tables)
    assert [(error.row, error.code) for error in file.errors] == [(len(tables["demographics"]), "row.duplicate")]
    assert len(file.pupils) == 23


def roles_of(file: RosterFile, person: str) -> list[str]:
    return [row.role for row in file.staff if row.external_id == person]


def test_an_office_in_another_org_is_none_in_this_school() -> None:
    """Who administers a district and teaches here may not see everybody here."""
    elsewhere = {"role": "administrator", "orgSourcedId": "org-district", "roleType": "primary"}
    tables = sample("1.2")
    titles = tables["roles"][0]
    tables["roles"].append([{**elsewhere, "userSourcedId": "115"}.get(title, "") for title in titles])
    file = read(tables)
    assert (roles_of(file, "115"), who(file), file.warnings) == (["teacher"], PLAIN, ())
    only = next(number for number, row in enumerate(tables["roles"], 1) if "115" in row)
    file = read(with_cells(tables, "roles", only, **elsewhere))
    assert (roles_of(file, "115"), warned(file)) == (["teacher"], {("users.csv", "role.office-elsewhere")})
    tables = sample()
    teacher = next(number for number, row in enumerate(tables["users"], 1) if row[0] == "115")
    file = read(with_cells(tables, "users", teacher, role="principal", orgSourcedIds="org-district"))
    assert (roles_of(file, "115"), warned(file)) == (["teacher"], {("users.csv", "role.office-elsewhere")})


def test_who_teaches_here_may_learn_elsewhere() -> None:
    tables = sample("1.2")
    learns = {"userSourcedId": "115", "role": "student", "orgSourcedId": "org-district"}
    tables["roles"].append([learns.get(title, "") for title in tables["roles"][0]])
    assert (read(tables).errors, who(read(tables))) == ((), PLAIN)


def test_classes_and_enrollments_that_name_another_school_are_told_of() -> None:
    for file, code in (("classes", "class.elsewhere"), ("enrollments", "enrollment.elsewhere")):
        found = read(every(sample(), file, "schoolSourcedId", lambda _: "org-district"))
        assert (len(found.pupils), warned(found)) == (0, {(f"{file}.csv", code)})


@pytest.mark.parametrize(("begins", "ends"), [("2015-06-15", "2016-06-10"), ("2015-04-01", "2016-03-31"), ("2015-09-01", "2016-08-31")])
def test_a_session_that_goes_on_over_new_year_is_of_the_year_in_which_it_begins(begins: str, ends: str) -> None:
    file = read(with_cells(sample(), "academicSessions", 2, startDate=begins, endDate=ends))
    assert {row.school_year for row in file.classes} == {2015}


@pytest.mark.parametrize("said", ["2016", "2015/2016", "2015-2016", "2015/16", "2015/2016 уч. год"])
def test_a_school_year_without_dates_may_be_said_by_its_end_or_by_both_years(said: str) -> None:
    tables = every(sample(), "academicSessions", "schoolYear", lambda _: said)
    for column in ("startDate", "endDate"):
        every(tables, "academicSessions", column, lambda _: "")
    assert who(read(tables)) == PLAIN


def test_a_patronymic_behind_the_first_name_is_told_of() -> None:
    tables = sample()
    given, middle = (tables["users"][0].index(column) for column in ("givenName", "middleName"))
    row = tables["users"][1]
    row[given], row[middle] = f"{row[given]} {row[middle]}", ""
    file = read(tables)
    assert [(one.row, one.code) for one in file.warnings] == [(2, "patronymic.in-first-name")]
    assert file.errors == ()


def test_roles_that_are_not_read_are_told_of_with_those_that_are() -> None:
    file = read(every(sample(), "users", "role", lambda cell: "pupil" if cell == "student" else cell))
    (warning,) = (warning for warning in file.warnings if warning.code == "role.unknown")
    assert "Read are student, teacher," in warning.hint
    assert file.pupils == ()


def test_files_of_an_export_under_other_names_are_told_of_as_such(tmp_path: Path) -> None:
    tables = {f"school_{name}": rows for name, rows in sample().items() if name in ("orgs", "users", "classes")}
    archive = packed(tables)
    with zipfile.ZipFile(io.BytesIO(archive)) as content:
        content.extractall(tmp_path)
    for source in (archive, tmp_path):
        with pytest.raises(FileRefused) as caught:
            read_roster(source, "export", school="school-7", today=TODAY)
        assert caught.value.code == "file.oneroster-incomplete"
        assert "sourcedId" in caught.value.text
        assert "manifest.csv" in caught.value.hint


def test_without_a_manifest_it_is_said_how_one_is_made_and_it_is_read_then() -> None:
    tables = sample()
    files = [name for name in tables if name != "manifest"]
    del tables["manifest"]
    refused = refusal(tables)
    assert refused.code == "file.manifest-missing"
    lines = re.findall("`([^`]+)`", refused.hint)
    assert lines == ["propertyName,value", "manifest.version,1.0", "oneroster.version,1.1", "file.users,bulk"]
    tables["manifest"] = [line.split(",") for line in [*lines[:-1], *(lines[-1].replace("users", name) for name in files)]]
    assert who(read(tables)) == PLAIN


@pytest.mark.parametrize("beginning", [b"Rar!\x1a\x07\x01\0", b"7z\xbc\xaf\x27\x1c\0\x04", b"\x1f\x8b\x08\0", b"BZh91AY", b"\xfd7zXZ\0\0"])
def test_an_archive_of_another_kind_is_named_as_one(beginning: bytes) -> None:
    with pytest.raises(FileRefused) as refused:
        read_roster(beginning + bytes(range(256)), "export.rar", school="school-7", today=TODAY)
    assert (refused.value.code, refused.value.hint) == (
        "file.unreadable",
        "Unpack it, and pack the csv files into one zip archive.",
    )


def test_american_dates_reject_their_rows_and_say_how_a_date_looks() -> None:
    tables = every(sample(), "enrollments", "beginDate", lambda _: "9/1/2015")
    errors = read(tables).errors
    assert {(error.file, error.column, error.code) for error in errors} == {("enrollments.csv", "beginDate", "date.unreadable")}


def test_without_demographics_every_pupil_is_told_of_and_staff_and_classes_are_read() -> None:
    tables = manifest(sample(), file__demographics="absent")
    del tables["demographics"]
    file = read(tables)
    assert {error.code for error in file.errors} == {"birth-date.missing"}
    assert (len(file.classes), len(file.staff), len(file.pupils), len(file.errors)) == (2, 6, 0, 24)


def test_of_a_district_the_school_is_chosen_by_its_id_and_otherwise_refused() -> None:
    tables = sample()
    tables["orgs"].append(["org-8", "", "", "Школа № 8", "school", "school-8", "org-district"])
    assert refusal(tables).code == "file.school-unknown"
    every(tables, "orgs", "identifier", lambda cell: "school-7" if cell == "7" else cell)
    assert who(read(tables)) == PLAIN


def _of_a_draft(tables: Tables) -> Tables:
    """Columns as drafts of 1.1 called them, and those that vendors add."""
    renamed = {"users": {"agentSourcedIds": "agents", "middleName": "middleNames", "userIds": "userId", "grades": "grade"}}
    renamed |= {"classes": {"termSourcedIds": "termSourcedId", "grades": "grade"}, "demographics": {"birthDate": "birthdate"}}
    for file, names in renamed.items():
        tables[file][0] = [names.get(title, title) for title in tables[file][0]]
    return tables


@pytest.mark.parametrize("version", ["1.1", "1.2"])
def test_columns_with_the_names_of_a_draft_are_read(version: str) -> None:
    file = read(_of_a_draft(sample(version)))
    assert (who(file), file.errors, file.warnings) == (PLAIN, (), read(sample(version)).warnings)


def test_columns_that_a_vendor_adds_are_told_of_one_by_one() -> None:
    tables = sample()
    for file in ("users", "orgs"):
        for row, title in zip(tables[file], ["metadata.phoneticFamilyName", *[""] * len(tables[file])], strict=False):
            row.append(title)
    file = read(tables)
    assert who(file) == PLAIN
    assert warned(file) >= {("users.csv", "column.unknown"), ("orgs.csv", "column.unknown")}


def test_an_optional_file_may_be_empty_and_a_required_one_is_named() -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(packed(sample()))) as whole, zipfile.ZipFile(content, "w") as archive:
        for name in whole.namelist():
            archive.writestr(name, b"" if name == "demographics.csv" else whole.read(name))
    file = read(content.getvalue())
    assert {error.code for error in file.errors} == {"birth-date.missing"}
    for missing in ("users", "academicSessions"):
        refused = refusal({**sample(), missing: []})
        assert (refused.code, refused.file) == ("file.oneroster-incomplete", f"{missing}.csv")
        assert "empty" in refused.text


def test_without_rows_in_a_required_file_it_is_said_what_is_missing() -> None:
    for missing in ("classes", "users", "enrollments"):
        tables = sample()
        tables[missing] = tables[missing][:1]
        if missing == "enrollments":
            assert {error.code for error in read(tables).errors} == {"enrollment.missing"}
        elif missing == "classes":
            assert {error.code for error in read(tables).errors} == {"enrollment.class-unknown"}
        else:
            assert {error.code for error in read(tables).errors} == {"enrollment.user-unknown"}


def test_a_manifest_that_names_no_files_says_which_have_to_be_named() -> None:
    tables = sample()
    tables["manifest"] = [row for row in tables["manifest"] if not row[0].startswith("file.")]
    refused = refusal(tables)
    assert (refused.code, "file.orgs" in refused.text) == ("file.oneroster-incomplete", True)


def test_what_a_mac_adds_to_an_archive_and_a_folder_is_nobodys(tmp_path: Path) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(packed(sample(), folder="export/"))) as whole, zipfile.ZipFile(content, "w") as archive:
        for name in whole.namelist():
            archive.writestr(name, whole.read(name))
            archive.writestr(f"__MACOSX/export/._{name.rpartition('/')[2]}", b"\0\5\x16\7")
            archive.writestr(f"export/._{name.rpartition('/')[2]}", b"\0\5\x16\7")
        archive.writestr("export/.DS_Store", b"\0")
    assert who(read(content.getvalue())) == PLAIN
    for name, rows in sample().items():
        (tmp_path / f"{name}.csv").write_text("\n".join(",".join(f'"{cell}"' for cell in row) for row in rows), "utf-8")
        (tmp_path / f"._{name}.csv").write_bytes(b"\0\5\x16\7")
    assert who(read_roster(tmp_path, school="school-7", today=TODAY)) == PLAIN


def test_whoever_has_no_org_in_1_2_belongs_to_the_primary_org_of_the_user() -> None:
    tables = every(sample("1.2"), "roles", "orgSourcedId", lambda _: "")
    assert who(read(tables)) == PLAIN
    tables["enrollments"] = [row for row in tables["enrollments"] if "teacher" not in row]
    every(tables, "users", "primaryOrgSourcedId", lambda _: "org-8")
    file = read(tables)
    assert ("users.csv", "user.elsewhere") in warned(file)
    assert file.staff == ()


def test_a_file_of_an_export_that_is_cut_off_is_named() -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(packed(sample()))) as whole, zipfile.ZipFile(content, "w") as archive:
        for name in whole.namelist():
            text = whole.read(name)
            archive.writestr(name, text[: text.rindex(b",2015-")] if name == "enrollments.csv" else text)
    with pytest.raises(FileRefused) as caught:
        read(content.getvalue())
    assert (caught.value.code, caught.value.file) == ("file.cut-off", "enrollments.csv")


@pytest.mark.parametrize(
    ("inside", "code", "told"),
    [
        (("content.xml", "mimetype"), "file.unreadable", ".xlsx"),
        (("xl/workbook.bin",), "file.unreadable", ".xlsx"),
        (("5А.xlsx", "5Б.xlsx"), "file.archive-nested", "one by one"),
        (("readme.txt",), "file.empty", "csv"),
    ],
    ids=["ods", "xlsb", "workbooks", "text"],
)
def test_an_archive_of_something_else_is_named(inside: tuple[str, ...], code: str, told: str) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in inside:
            archive.writestr(name, "x")
    with pytest.raises(FileRefused) as caught:
        read(content.getvalue())
    assert caught.value.code == code
    assert told in caught.value.hint


# -- a school of another country -----------------------------------------------------------------------------------------------------------


BULK = ("academicSessions", "classes", "courses", "demographics", "enrollments", "orgs", "users")
ABSENT = ("categories", "classResources", "courseResources", "lineItems", "resources", "results")


def abroad() -> Tables:
    """A school as American programs export it: sections of courses, no homerooms, grades from PK on, extensions, no guardians."""
    org, year = str(uuid.uuid4()).upper(), str(uuid.uuid4())
    stamp = ["active", "2015-08-30T04:15:22.113Z"]
    students = [(f"{number:09}", *stamp, "TRUE", org, "student", f"s{number}", f"{{LDAP:{number}}}") for number in range(1, 4)]
    names = (("José", "Peña"), ("Mary-Kate", "O’Neil"), ("Li", "Wu"))
    return {
        "manifest": [
            ["propertyName", "value"], ["manifest.version", "1.0"], ["oneroster.version", "1.1"],
            *([f"file.{name}", "bulk"] for name in BULK),
            *([f"file.{name}", "absent"] for name in ABSENT),
            ["source.systemName", "SIS"], ["source.systemCode", ""],
        ],
        "orgs": [
            ["sourcedId", "status", "dateLastModified", "name", "type", "identifier", "parentSourcedId", "metadata.ncesId"],
            [org, *stamp, "Lincoln Elementary", "school", "0042", "", "123456789012"],
        ],
        "academicSessions": [
            ["sourcedId", "status", "dateLastModified", "title", "type", "startDate", "endDate", "parentSourcedId", "schoolYear"],
            [year, *stamp, "2015-2016", "schoolYear", "2015-08-17", "2016-06-03", "", "2016"],
        ],
        "courses": [["sourcedId", "title", "orgSourcedId"], ["c1", "Algebra", org]],
        "classes": [
            ["sourcedId", "status", "dateLastModified", "title", "grades", "courseSourcedId", "classCode", "classType", "location",
             "schoolSourcedId", "termSourcedIds", "subjects", "subjectCodes", "periods"],
            ["k1", *stamp, "Kindergarten - Room 3", "KG", "c1", "K-3", "scheduled", "3", org, year, "", "", "1,2"],
            ["a1", *stamp, "Algebra 1 - Section 2", "08,09", "c1", "ALG1-2", "scheduled", "12", org, year, "math", "", "3"],
        ],
        "users": [
            ["sourcedId", "status", "dateLastModified", "enabledUser", "orgSourcedIds", "role", "username", "userIds", "givenName",
             "familyName", "middleName", "identifier", "email", "sms", "phone", "agentSourcedIds", "grades", "password", "metadata.ell"],
            *([*row, first, last, "", row[0], f"{row[6]}@school.example", "", "", "", grade, "", "N"]
              for row, (first, last), grade in zip(students, names, ("KG", "08", "IT"), strict=True)),
            ["t1", *stamp, "TRUE", org, "teacher", "t1", "", "Anne", "Smith", "", "t1", "t1@school.example", "", "(555) 123-4567",
             "", "", "", ""],
        ],
        "demographics": [
            ["sourcedId", "status", "dateLastModified", "birthDate", "sex", "white"],
            *([row[0], *stamp, "2007-03-04", "female", "TRUE"] for row in students),
        ],
        "enrollments": [
            ["sourcedId", "status", "dateLastModified", "classSourcedId", "schoolSourcedId", "userSourcedId", "role", "primary",
             "beginDate", "endDate"],
            *([f"e{number}", *stamp, "k1" if number == 1 else "a1", org, row[0], "student", "FALSE", "", ""]
              for number, row in enumerate(students, 1)),
            ["e9", *stamp, "a1", org, "t1", "teacher", "TRUE", "", ""],
        ],
    }  # fmt: skip


def test_a_school_of_another_country_says_row_by_row_why_its_classes_are_none_here() -> None:
    file = read(abroad())
    errors = {(error.file, error.row, error.column, error.code) for error in file.errors}
    assert {("classes.csv", 2, "title", "class.title-unknown"), ("classes.csv", 3, "title", "class.title-unknown")} <= errors
    assert {error.code for error in file.errors} == {"class.title-unknown", "enrollment.class-rejected"}
    assert [(row.last_name, row.role, row.phone) for row in file.staff] == [("Smith", "teacher", "+75551234567")]
    assert warned(file) == {("users.csv", "column.unknown"), ("orgs.csv", "column.unknown")}
    assert all("5А" in error.hint for error in file.errors if error.code == "class.title-unknown")


def test_its_sections_are_classes_once_they_are_titled_like_classes() -> None:
    tables = abroad()
    titles = {"Kindergarten - Room 3": "1А", "Algebra 1 - Section 2": "Grade 8 B"}
    every(tables, "classes", "title", lambda title: titles[title])
    every(tables, "classes", "grades", lambda _: "")
    file = read(tables)
    assert not file.errors
    assert [(str(row.class_label), row.last_name, row.first_name) for row in file.pupils] == [
        ("1А", "Peña", "José"),
        ("8В", "O’Neil", "Mary-Kate"),
        ("8В", "Wu", "Li"),
    ]
