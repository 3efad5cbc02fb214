"""Reading what a school hands in: every rule of DOMAIN section 4 about files, and the sample school."""

import csv
import io
import json
import re
import subprocess
import sys
import tracemalloc
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import xlsxwriter  # pyright: ignore[reportMissingTypeStubs] - it has none
from hypothesis import given
from hypothesis import strategies as st

from roster.files import ClassLabel, FileRefused, PupilRow, RosterFile, read_roster, write_rejected
from roster.files.words import role_of

SAMPLES = Path(__file__).parents[1] / "samples"

Row = dict[str, object]

PUPIL: Row = {
    "ID*": "У1",
    "Фамилия*": "Ёлкина",
    "Имя*": "Анна-Мария",
    "Отчество": "Петровна",
    "Дата рождения*": "17.05.2004",
    "Класс*": "5А",
    "Дата зачисления*": "01.09.2011",
    "Согласие №": "С-1",
    "Дата согласия": "20.08.2015",
}
MOTHER: Row = {
    "Родитель 1: ID": "Р1",
    "Родитель 1: Фамилия*": "Ёлкина",
    "Родитель 1: Имя*": "Ольга",
    "Родитель 1: Степень родства*": "мать",
    "Родитель 1: Законный представитель*": "да",
    "Родитель 1: Согласие №": "С-2",
    "Родитель 1: Дата": "20.08.2015",
}
FATHER: Row = {
    "Родитель 2: ID": "Р2",
    "Родитель 2: Фамилия*": "Ёлкин",
    "Родитель 2: Имя*": "Пётр",
    "Родитель 2: Степень родства*": "отец",
    "Родитель 2: Законный представитель*": "да",
}
TEACHER: Row = {
    "Табельный №*": "101",
    "Фамилия*": "Сафина",
    "Имя*": "Гузель",
    "Должность*": "Учитель химии",
    "Роль*": "Учитель",
    "Дата приёма*": "25.08.2010",
}
CLASS: Row = {"Параллель*": "5", "Литера*": "А", "Учебный год*": "2015/2016", "Заявлено учеников*": "26"}


def table(*rows: Row) -> list[list[object]]:
    titles = list(dict.fromkeys(title for row in rows for title in row))
    return [list(titles), *([row.get(title, "") for title in titles] for row in rows)]


def csv_of(rows: Sequence[Sequence[object]], *, delimiter: str = ";", encoding: str = "utf-8") -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter).writerows(rows)
    return text.getvalue().encode(encoding)


def xlsx_of(sheets: Mapping[str, Sequence[Sequence[object]]], *, merged: Sequence[tuple[int, int, int, int, str]] = ()) -> bytes:
    content = io.BytesIO()
    workbook = xlsxwriter.Workbook(content)
    day = workbook.add_format({"num_format": "dd.mm.yyyy"})  # pyright: ignore[reportUnknownMemberType] - no types
    for name, rows in sheets.items():
        sheet = workbook.add_worksheet(name)  # pyright: ignore[reportUnknownMemberType] - no types
        for y, row in enumerate(rows):
            for x, cell in enumerate(row):
                if isinstance(cell, date):
                    sheet.write_datetime(y, x, datetime(cell.year, cell.month, cell.day), day)  # noqa: DTZ001 - a cell has no time zone
                elif cell != "":
                    sheet.write(y, x, cell)  # pyright: ignore[reportUnknownMemberType] - no types
        for area in merged:
            sheet.merge_range(*area)  # pyright: ignore[reportUnknownMemberType] - no types
    workbook.close()
    return content.getvalue()


def read(*rows: Row) -> RosterFile:
    return read_roster(csv_of(table(*rows)), "upload.csv")


def only_pupil(file: RosterFile) -> PupilRow:
    assert file.errors == ()
    (pupil,) = file.pupils
    return pupil


def codes(file: RosterFile) -> list[tuple[int | None, str | None, str]]:
    return [(error.row, error.column, error.code) for error in file.errors]


def refusal(content: bytes, name: str = "upload.csv") -> FileRefused:
    with pytest.raises(FileRefused) as caught:
        read_roster(content, name)
    assert caught.value.hint
    return caught.value


# -- files, encodings, delimiters ----------------------------------------------------------------------------------------------------------


def test_a_workbook_holds_any_of_the_three_sheets() -> None:
    whole = read_roster(xlsx_of({"Ученики": table(PUPIL | MOTHER), "Сотрудники": table(TEACHER), "Классы": table(CLASS)}), "school.xlsx")
    assert (len(whole.pupils), len(whole.staff), len(whole.classes)) == (1, 1, 1)
    assert [(table.sheet, table.kind, table.rows) for table in whole.detected] == [
        ("Ученики", "pupils", 1), ("Сотрудники", "staff", 1), ("Классы", "classes", 1)
    ]  # fmt: skip
    part = read_roster(xlsx_of({"Классы": table(CLASS), "Лист2": []}), "classes.xlsx")
    assert (len(part.pupils), len(part.staff), len(part.classes)) == (0, 0, 1)
    assert part.warnings == ()


@given(encoding=st.sampled_from(["utf-8", "utf-8-sig", "cp1251"]), delimiter=st.sampled_from(";,\t"))
def test_csv_reads_the_same_in_every_encoding_and_with_every_delimiter_and_says_which(encoding: str, delimiter: str) -> None:
    file = read_roster(csv_of(table(PUPIL | MOTHER), delimiter=delimiter, encoding=encoding), "upload.csv")
    assert only_pupil(file) == only_pupil(read(PUPIL | MOTHER))
    assert (file.detected[0].encoding, file.detected[0].delimiter) == (encoding, delimiter)


def test_a_file_may_have_windows_and_unix_line_ends_blank_lines_and_line_breaks_in_cells() -> None:
    header = 'ID;Фамилия;Имя;Дата рождения;Класс;"Дата\nзачисления"\n\n'
    text = header + '1;Ким;Ян;17.05.2004;5А;01.09.2011\r\n;;;;;\r\n2;"Ли\nСян";Яна;17.05.2004;5А;1.9.2011'
    file = read_roster(text.encode(), "upload.csv")
    assert [(pupil.place.row, pupil.last_name) for pupil in file.pupils] == [(3, "Ким"), (5, "Ли Сян")]


def test_the_kind_of_a_csv_file_follows_from_its_columns_whatever_its_name() -> None:
    assert len(read_roster(csv_of(table(TEACHER)), "ученики.csv").staff) == 1
    assert len(read_roster(csv_of(table(CLASS)), "x").classes) == 1


def test_a_folder_of_csv_files_is_read_as_one(tmp_path: Path) -> None:
    (tmp_path / "ученики.csv").write_bytes(csv_of(table(PUPIL), encoding="cp1251"))
    (tmp_path / "классы.csv").write_bytes(csv_of(table(CLASS), delimiter=","))
    (tmp_path / "письмо.docx").write_bytes(b"PK")
    file = read_roster(tmp_path)
    assert (len(file.pupils), len(file.classes)) == (1, 1)
    assert {(table.file, table.encoding, table.delimiter) for table in file.detected} == {
        ("ученики.csv", "cp1251", ";"),
        ("классы.csv", "utf-8", ","),
    }
    assert [(warning.file, warning.code) for warning in file.warnings] == [("письмо.docx", "file.ignored")]


def test_a_zip_archive_of_csv_files_is_read_like_the_folder() -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("school/staff.csv", csv_of(table(TEACHER)))
        archive.writestr("school/classes.csv", csv_of(table(CLASS)))
        archive.writestr("__MACOSX/school/._classes.csv", b"\0")
    file = read_roster(content.getvalue(), "upload.zip")
    assert (len(file.staff), len(file.classes), file.warnings) == (1, 1, ())


# -- headers -------------------------------------------------------------------------------------------------------------------------------


def test_english_headers_are_understood() -> None:
    titles = [
        "Student ID",
        "Surname",
        "Given name",
        "Date of birth",
        "CLASS",
        "enrolment_date",
        "guardian 1 last name",
        "Guardian 1: first name",
    ]
    cells = ["7", "Lee", "Ann", "2004-05-17", "5А", "2011-09-01", "Lee", "Joan"]
    titles += ["Guardian1Relation", "Legal representative of parent 1"]
    pupil = only_pupil(read_roster(csv_of([titles, [*cells, "mother", "yes"]], delimiter=","), "upload.csv"))
    assert (pupil.born_on, pupil.guardians[0].first_name, pupil.guardians[0].kinship) == (date(2004, 5, 17), "Joan", "mother")


@given(st.data())
def test_case_spaces_signs_and_yo_do_not_matter_in_headers(data: st.DataObject) -> None:
    def scribbled(title: str) -> str:
        letters = [
            data.draw(st.sampled_from([sign.upper(), sign.lower()])) + data.draw(st.sampled_from(["", "", " ", "*", "_"])) for sign in title
        ]
        return "".join(letters).replace("ё", data.draw(st.sampled_from("её")))

    rows = table(TEACHER | {"Классное руководство": "7А"})
    file = read_roster(csv_of([[scribbled(str(title)) for title in rows[0]], *rows[1:]]), "upload.csv")
    assert (file.errors, file.warnings) == ((), ())
    assert file.staff[0].homeroom == ClassLabel(7, "А")


def test_guardians_can_stand_under_merged_headers_below_a_heading() -> None:
    own = ["ID", "Фамилия", "Имя", "Дата рождения", "Класс", "Дата зачисления"]
    guardian = ["ID", "Фамилия", "Имя", "Степень родства", "Законный представитель"]
    rows: list[list[object]] = [
        ["Список учеников школы"],
        [],
        [*own, "Родитель 1", "", "", "", "", "Родитель 2 (законный представитель)"],
        ["", "", "", "", "", "", *guardian, *guardian],
        ["1", "Ким", "Ян", date(2004, 5, 17), "5А", date(2011, 9, 1), "Р1", "Ким", "Ева", "мать", "да", "Р2", "Ким", "Лев", "отец", "нет"],
    ]
    merged = [(2, 6, 2, 10, "Родитель 1"), (2, 11, 2, 15, "Родитель 2 (законный представитель)")]
    file = read_roster(xlsx_of({"Ученики": rows}, merged=merged), "school.xlsx")
    pupil = only_pupil(file)
    assert [(guardian.number, guardian.first_name, guardian.legal_representative) for guardian in pupil.guardians] == [
        (1, "Ева", True),
        (2, "Лев", False),
    ]
    assert (pupil.place.row, file.warnings) == (5, ())


def test_an_unknown_column_is_a_warning() -> None:
    file = read(PUPIL | {"Группа здоровья": "I"})
    assert only_pupil(file)
    assert [(warning.code, warning.column, warning.row) for warning in file.warnings] == [("column.unknown", "J «Группа здоровья»", None)]


@pytest.mark.parametrize("title", ["12.05.2005", "112-233-445 95", "ivanov@family.example", "89161234567", "я" * 61])
def test_what_looks_like_data_in_a_header_is_named_by_its_column_alone(title: str) -> None:
    (warning,) = read(PUPIL | {title: "I"}).warnings
    assert (warning.code, warning.column) == ("column.unknown", "J")


def with_formula(sheet: str, rows: Sequence[Sequence[object]], cell: str, formula: str, value: str) -> bytes:
    content = io.BytesIO()
    workbook = xlsxwriter.Workbook(content)
    workbook.add_worksheet("Как заполнять")  # pyright: ignore[reportUnknownMemberType] - no types
    written: Any = workbook.add_worksheet(sheet)  # pyright: ignore[reportUnknownMemberType] - no types
    for number, row in enumerate(rows, 1):
        written.write_row(number, 1, row)
    written.write_formula(cell, formula, None, value)
    workbook.close()
    return content.getvalue()


def test_a_cell_with_a_formula_rejects_its_row_whatever_it_shows() -> None:
    first, second = PUPIL, PUPIL | {"ID*": "У2", "Согласие №": "", "Дата согласия": ""}
    titles = list(PUPIL)
    place = f"{chr(ord('B') + titles.index('Класс*'))}4"
    file = read_roster(with_formula("Ученики", table(first, second), place, '="7"&"А"', "7А"), "school.xlsx")
    assert codes(file) == [(4, "Класс", "cell.formula")]
    assert [pupil.external_id for pupil in file.pupils] == ["У1"]


def test_a_formula_beside_the_table_does_no_harm() -> None:
    file = read_roster(with_formula("Ученики", table(PUPIL), "AA3", "=1+1", "2"), "school.xlsx")
    assert (codes(file), len(file.pupils)) == ([], 1)


def test_a_sheet_full_of_formulas_is_refused() -> None:
    content = io.BytesIO()
    workbook = xlsxwriter.Workbook(content)
    sheet: Any = workbook.add_worksheet("Ученики")  # pyright: ignore[reportUnknownMemberType] - no types
    sheet.write_row(0, 0, table(PUPIL)[0])
    for row in range(1, 6_000):
        for column in range(9):
            sheet.write_formula(row, column, "=1+1")
    workbook.close()
    assert refusal(content.getvalue(), "school.xlsx").code == "file.formulas"


def test_a_sheet_of_another_sort_is_passed_over_with_a_warning() -> None:
    file = read_roster(xlsx_of({"Классы": table(CLASS), "Как заполнять": [["Заполните все листы"]]}), "school.xlsx")
    assert [(warning.sheet, warning.code) for warning in file.warnings] == [("Как заполнять", "table.unknown")]


# -- whole files that are refused ----------------------------------------------------------------------------------------------------------


def test_every_missing_required_column_is_named_at_once() -> None:
    refused = refusal(csv_of([["ID", "Фамилия", "Класс", "Пол", "Родитель 2: Имя"], ["1", "Ким", "5А", "м", "Ева"]]), "pupils.csv")
    assert refused.code == "file.column-missing"
    for title in ("Имя", "Дата рождения", "Дата зачисления", "Родитель 2: Фамилия", "Родитель 2: Законный представитель"):
        assert f"«{title}»" in refused.text
    assert "Родитель 1" not in refused.text


def test_a_missing_column_of_one_sheet_refuses_the_workbook_and_names_the_sheet() -> None:
    refused = refusal(xlsx_of({"Классы": table(CLASS), "Сотрудники": [["Табельный №", "Фамилия"], ["1", "Ким"]]}), "school.xlsx")
    assert (refused.code, refused.sheet) == ("file.column-missing", "Сотрудники")


def test_a_column_that_stands_twice_is_refused() -> None:
    rows = table(CLASS)
    assert refusal(csv_of([[*row, row[0]] for row in rows])).code == "file.column-repeated"


@pytest.mark.parametrize(
    "content", [b"", b"\n\n", "\ufeff".encode(), csv_of(table(PUPIL)[:1]), xlsx_of({"Лист1": []}), xlsx_of({"Ученики": table(PUPIL)[:1]})]
)
def test_an_empty_file_is_refused(content: bytes) -> None:
    assert refusal(content).code == "file.empty"


def test_a_file_of_another_sort_is_refused_with_how_it_was_read() -> None:
    refused = refusal("Дата;Сумма\n01.09.2015;100\n".encode("cp1251"))
    assert refused.code == "file.kind-unknown"
    assert "cp1251" in refused.text
    assert "';'" in refused.text


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_workbook_that_is_cut_off_is_refused(share: float) -> None:
    content = xlsx_of({"Ученики": table(PUPIL)})
    assert refusal(content[: int(len(content) * share)], "school.xlsx").code == "file.unreadable"


@pytest.mark.parametrize(
    "content",
    [
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512),
        b"%PDF-1.7\n\0\1\2",
        "ID;Фамилия".encode("utf-16"),
        csv_of(table(PUPIL)) + b'"never closed',
        csv_of(table(PUPIL)) + b'"closed" too early;\n',
        b"\x98\x98",
    ],
    ids=["old xls or password", "pdf", "utf-16", "open quotation", "quotation inside", "no letters"],
)
def test_a_file_that_cannot_be_read_is_refused(content: bytes) -> None:
    assert refusal(content).code == "file.unreadable"


def test_a_csv_file_that_is_cut_off_within_a_row_is_named_as_cut() -> None:
    row = PUPIL | MOTHER | {"Дата рождения*": "17.05.2004"}
    whole = csv_of(table(*(row | {"ID*": f"У{number}", "Согласие №": f"К-{number}"} for number in range(1, 6))))
    last = whole.rindex("У5".encode())
    for end in range(last + 1, len(whole) - 60, 7):
        refused = refusal(whole[:end], "pupils.csv")
        assert refused.code == "file.cut-off", end
        assert "cut off" in refused.text
    assert len(read_roster(whole.rstrip(), "pupils.csv").pupils) == 5
    assert refusal(whole[: whole.index("Степень".encode()) + 3], "pupils.csv").code == "file.cut-off"


def test_a_short_last_row_is_no_cut_where_the_line_ends_or_other_rows_are_short_too() -> None:
    titles, first = (";".join(map(str, row)) for row in table(CLASS | {"Профиль": "физика"}))
    second, short = first.replace(";А;", ";Б;"), "5;В;2015/2016;20"
    assert len(read_roster(f"{titles}\n{first}\n{short}\n".encode(), "x.csv").classes) == 2
    assert len(read_roster(f"{titles}\n{short}\n{second}\n{short.replace('В', 'Г')}".encode(), "x.csv").classes) == 3
    assert refusal(f"{titles}\n{first}\n{short}".encode(), "x.csv").code == "file.cut-off"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (csv_of(table(PUPIL)) + '"не закрыта'.encode(), "cut off"),
        ("ID\tФамилия".encode("utf-16"), "UTF-16"),
        ("ID\tФамилия".encode("utf-16-be").join([b"\xfe\xff", b""]), "UTF-16"),
        (b"\n<html><table><tr><td>ID</td></tr></table></html>", "web page"),
        ("\ufeff<?xml version='1.0'?><Workbook/>".encode(), "XML"),
    ],
    ids=["open quotation", "utf-16", "utf-16 big-endian", "html", "xml"],
)
def test_a_refusal_names_what_the_file_is(content: bytes, told: str) -> None:
    refused = refusal(content, "pupils.xls")
    assert refused.code == "file.unreadable"
    assert told in refused.text


def test_a_damaged_sheet_inside_a_sound_archive_is_refused() -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(xlsx_of({"Ученики": table(PUPIL)}))) as sound, zipfile.ZipFile(content, "w") as broken:
        for member in sound.namelist():
            part = sound.read(member)
            broken.writestr(member, part[: len(part) // 2] if member.endswith("sheet1.xml") else part)
    assert refusal(content.getvalue(), "school.xlsx").code == "file.unreadable"


def test_a_path_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileRefused) as caught:
        read_roster(tmp_path / "нет.xlsx")
    assert (caught.value.code, caught.value.file) == ("file.unreadable", "нет.xlsx")


# -- limits --------------------------------------------------------------------------------------------------------------------------------


def test_a_file_over_64_mib_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "school.csv"
    with path.open("wb") as file:
        file.truncate(64 * 2**20 + 1)
    with pytest.raises(FileRefused) as caught:
        read_roster(path)
    assert caught.value.code == "file.too-large"


def test_an_archive_that_unpacks_to_too_much_is_refused_whatever_size_it_states() -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("pupils.csv", "w") as member:
        for _ in range(129):
            member.write(bytes(2**20))
    bomb = content.getvalue()
    assert refusal(bomb, "upload.zip").code == "file.too-large"
    stated = (129 * 2**20).to_bytes(4, "little")
    assert stated in bomb
    assert refusal(bomb.replace(stated, (1000).to_bytes(4, "little")), "upload.zip").code == "file.too-large"


def test_a_cell_far_away_is_refused_before_the_sheet_is_laid_out() -> None:
    for row, column in ((1_048_575, 0), (0, 16_383), (50_000, 3)):
        rows: list[list[object]] = table(CLASS)
        content = io.BytesIO()
        workbook = xlsxwriter.Workbook(content)
        sheet = workbook.add_worksheet("Классы")  # pyright: ignore[reportUnknownMemberType] - no types
        sheet.write_row(0, 0, rows[0])  # pyright: ignore[reportUnknownMemberType] - no types
        sheet.write_string(row, column, "x")
        workbook.close()
        assert refusal(content.getvalue(), "school.xlsx").code == "file.too-large"


def test_one_long_text_that_many_cells_share_is_refused() -> None:
    rows: list[list[object]] = [["я" * 9_000] * 3] * 40_000
    assert refusal(xlsx_of({"Классы": rows}), "school.xlsx").code == "file.too-large"


def test_more_than_50_000_rows_are_refused_in_one_table_and_in_several_together() -> None:
    assert refusal(csv_of(table(CLASS)) + b"\n" * 50_000).code == "file.too-large"
    half = csv_of(table(*[CLASS] * 26_000))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", half)
        archive.writestr("b.csv", half)
    assert refusal(packed.getvalue(), "upload.zip").code == "file.too-large"


def test_a_cell_over_10_000_characters_is_refused() -> None:
    refused = refusal(csv_of(table(PUPIL | {"Комментарий": "я" * 10_001})))
    assert refused.code == "file.cell-too-long"
    assert "row 2" in refused.text
    assert refusal(xlsx_of({"Классы": table(CLASS | {"Профиль": "я" * 10_001})})).code == "file.cell-too-long"


def _sheet(cells: bytes) -> bytes:
    """A workbook whose only sheet holds these rows, written by hand: no program writes what is too much."""
    content = io.BytesIO()
    sound = zipfile.ZipFile(io.BytesIO(xlsx_of({"Классы": table(CLASS)})))
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as made:
        for name in sound.namelist():
            text = sound.read(name)
            if name == "xl/worksheets/sheet1.xml":
                text = re.sub(rb"</?sheetData>.*</sheetData>", b"<sheetData>" + cells + b"</sheetData>", text, flags=re.DOTALL)
            made.writestr(name, text)
    return content.getvalue()


def test_a_cell_of_5_mb_and_a_sheet_of_a_million_rows_are_refused_in_bounded_memory() -> None:
    huge = b'<row r="1"><c r="A1" t="inlineStr"><is><t>' + b"x" * 5_000_000 + b"</t></is></c></row>"
    long = b"".join(b'<row r="%d"><c r="A%d"><v>1</v></c></row>' % (row, row) for row in range(1, 1_000_001))
    files = [
        (_sheet(huge), "file.cell-too-long"),
        (csv_of(table(PUPIL | {"Комментарий": "я" * 2_500_000})), "file.cell-too-long"),
        (_sheet(long), "file.too-large"),
        (csv_of(table(PUPIL)) + b"\n" * 50_000 + "я;".encode() * 12_000_000, "file.too-large"),
    ]
    for content, code in files:
        tracemalloc.start()
        try:
            assert refusal(content, "school.xlsx").code == code
            _, most_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert most_bytes < 200 * 2**20, code


# -- cells ---------------------------------------------------------------------------------------------------------------------------------


def test_dates_are_read_as_dates_and_as_text() -> None:
    row = PUPIL | {"Дата рождения*": date(2004, 5, 17), "Дата зачисления*": "2011-09-01", "Дата согласия": "7.8.2015"}
    pupil = only_pupil(read_roster(xlsx_of({"Ученики": table(row)}), "school.xlsx"))
    assert (pupil.born_on, pupil.enrolled_on, pupil.consent_date) == (date(2004, 5, 17), date(2011, 9, 1), date(2015, 8, 7))


@pytest.mark.parametrize("text", ["31.02.2004", "17.05.04", "05/17/2004", "38124", "2004", "завтра", "17.05.1804"])
def test_what_is_no_day_of_the_calendar_rejects_the_row(text: str) -> None:
    (error,) = read(PUPIL | {"Дата рождения*": text}).errors
    assert error.code in {"date.unreadable", "date.out-of-range"}
    assert (error.row, error.column) == (2, "Дата рождения")


def check_number(digits: str) -> str:
    return f"{sum(int(digit) * (9 - place) for place, digit in enumerate(digits)) % 101 % 100:02}"


@given(digits=st.integers(2_000_000, 999_999_999).map(lambda number: f"{number:09}"), off_by=st.integers(1, 99))
def test_snils_is_one_number_in_three_writings_and_its_check_number_counts(digits: str, off_by: int) -> None:
    check = check_number(digits)
    spaced, dashed = (f"{digits[:3]}-{digits[3:6]}-{digits[6:]}{sign}{check}" for sign in " -")
    rows = [PUPIL | {"ID*": str(number), "СНИЛС": text} for number, text in enumerate([spaced, dashed, digits + check])]
    assert [pupil.snils for pupil in read(*rows).pupils] == [digits + check] * 3
    wrong = f"{(int(check) + off_by) % 100:02}"
    assert codes(read(PUPIL | {"СНИЛС": digits + wrong})) == [(2, "СНИЛС", "snils.checksum")]


def test_snils_in_a_cell_of_numbers_gets_its_leading_zeros_back() -> None:
    digits = "012345678"
    number = int(digits + check_number(digits))
    assert only_pupil(read_roster(xlsx_of({"Ученики": table(PUPIL | {"СНИЛС": number})}), "x.xlsx")).snils == f"{number:011}"


def test_snils_of_the_first_series_has_no_check_number() -> None:
    assert only_pupil(read(PUPIL | {"СНИЛС": "001-001-998 99"})).snils == "00100199899"
    assert codes(read(PUPIL | {"СНИЛС": "12-34"})) == [(2, "СНИЛС", "snils.malformed")]


@pytest.mark.parametrize("label", ["7А", "7-А", '7 "А"', "7 «А»", "7а", "07 А", "7A", "7 класс А", "7-«а»", "7.А"])
def test_a_class_label_is_read_in_every_writing(label: str) -> None:
    assert only_pupil(read(PUPIL | {"Класс*": label})).class_label == ClassLabel(7, "А")


@pytest.mark.parametrize("label", ["7", "А", "12А", "0А", "7АБ", "7Z", "А7", "7 класс", "17А"])
def test_what_is_no_class_label_rejects_the_row(label: str) -> None:
    assert codes(read(PUPIL | {"Класс*": label})) == [(2, "Класс", "class-label.malformed")]


@pytest.mark.parametrize(
    ("word", "meaning"),
    [("да", True), ("Да", True), ("1", True), ("истина", True), ("yes", True), ("нет", False), ("0", False), ("N", False)],
)
def test_yes_and_no_have_many_words(word: str, meaning: bool) -> None:
    assert only_pupil(read(PUPIL | MOTHER | {"Родитель 1: Законный представитель*": word})).guardians[0].legal_representative is meaning


def test_true_and_false_of_a_spreadsheet_are_yes_and_no() -> None:
    row = PUPIL | MOTHER | {"Родитель 1: Законный представитель*": True}
    assert only_pupil(read_roster(xlsx_of({"Ученики": table(row)}), "x.xlsx")).guardians[0].legal_representative is True


@pytest.mark.parametrize(
    ("words", "role"),
    [
        ("Директор", "director"),
        ("и. о. директора", "director"),
        ("Координатор", "administrator"),
        ("Администратор системы", "administrator"),
        ("Классный руководитель", "class_teacher"),
        ("Учитель", "teacher"),
        ("Учитель математики и физики", "teacher"),
        ("Учитель-логопед", "other"),
        ("Заместитель директора по УВР", "other"),
        ("Завхоз", "other"),
        ("Космонавт", None),
    ],
)
def test_a_word_or_a_position_names_a_role(words: str, role: str | None) -> None:
    assert role_of(words) == role


def test_a_blank_role_is_read_off_the_position_where_it_can_be() -> None:
    file = read(TEACHER | {"Роль*": ""}, TEACHER | {"Роль*": "", "Должность*": "Космонавт", "Табельный №*": "102"})
    assert [(member.role, member.position) for member in file.staff] == [("teacher", "Учитель химии")]
    assert codes(file) == [(3, "Роль", "cell.blank")]


def test_class_rows_state_grade_letter_year_and_headcount() -> None:
    file = read_roster(xlsx_of({"Классы": table(CLASS | {"Литера*": "«а»", "Параллель*": 5, "Смена": 2.0, "Неделя 5/6": 6})}), "x.xlsx")
    (row,) = file.classes
    assert (row.grade, row.letter, row.school_year, row.declared_pupils, row.shift, row.week_days) == (5, "А", 2015, 26, 2, 6)


@pytest.mark.parametrize(
    ("column", "value", "code"),
    [
        ("Параллель*", "12", "number.out-of-range"),
        ("Литера*", "АБ", "letter.malformed"),
        ("Учебный год*", "2015/2017", "school-year.malformed"),
        ("Заявлено учеников*", "двадцать", "number.out-of-range"),
        ("Неделя 5/6", "7", "number.out-of-range"),
    ],
)
def test_a_bad_cell_of_a_class_rejects_its_row(column: str, value: str, code: str) -> None:
    assert codes(read(CLASS | {column: value})) == [(2, column.rstrip("*"), code)]


@pytest.mark.parametrize(
    ("row", "column", "value", "code"),
    [
        (PUPIL, "Фамилия*", "Ким2", "name.malformed"),
        (PUPIL, "Имя*", "", "cell.blank"),
        (PUPIL, "Пол", "да", "sex.unknown"),
        (PUPIL, "E-mail", "a@b", "email.malformed"),
        (PUPIL, "E-mail", "a@example.org, b@example.org", "email.malformed"),
        (PUPIL, "Дата согласия", "", "consent.incomplete"),
        (PUPIL, "Согласие №", "", "consent.incomplete"),
        (PUPIL, "Дата зачисления*", "17.05.2004", "date.order"),
        (PUPIL, "№ приказа", "я" * 201, "text.too-long"),
        (PUPIL | MOTHER, "Родитель 1: Степень родства*", "соседка", "kinship.unknown"),
        (PUPIL | MOTHER, "Родитель 1: Имя*", "", "cell.blank"),
        (PUPIL | MOTHER, "Родитель 1: Телефон", "123-45-67", "phone.malformed"),
        (PUPIL | MOTHER, "Родитель 1: Дата", "", "consent.incomplete"),
        (PUPIL | MOTHER | FATHER, "Родитель 2: СНИЛС", "1", "snils.malformed"),
        (TEACHER, "Роль*", "Космонавт", "role.unknown"),
    ],
)
def test_a_bad_cell_is_named_by_row_and_column_and_rejects_its_row_alone(row: Row, column: str, value: str, code: str) -> None:
    first = next(iter(row))
    file = read(row | {column: row.get(column, "")}, row | {first: "другой", column: value})
    assert codes(file) == [(3, column.rstrip("*"), code)]
    assert [kept.place.row for kept in (*file.pupils, *file.staff)] == [2]


def test_all_bad_cells_of_a_row_are_named_at_once() -> None:
    file = read(PUPIL | MOTHER | {"Фамилия*": "", "Дата рождения*": "?", "Родитель 1: Степень родства*": "?"})
    assert sorted(code for _, _, code in codes(file)) == ["cell.blank", "date.unreadable", "kinship.unknown"]


def test_cells_are_tidied() -> None:
    # A Mac writes й as и and a breve; the no-break space and the invisible one come from web pages.
    row = PUPIL | {"Фамилия*": "  Ми\u0306н\u00a0 Су\u200b ", "Отчество": "—", "E-mail": " -", "№ приказа": 31.0}
    pupil = only_pupil(read_roster(xlsx_of({"Ученики": table(row)}), "x.xlsx"))
    assert (pupil.last_name, pupil.patronymic, pupil.email, pupil.order_number) == (
        "М\u0439н Су",
        None,
        None,
        "31",
    )


def test_names_of_many_peoples_are_names() -> None:
    for name in ("О'Коннор", "Салтыков-Щедрин", "Җәләлова", "Тхи Лан", "Илдар кызы", "Müller", "Гарсиа (Лопес)", "д’Артаньян"):
        assert only_pupil(read(PUPIL | {"Фамилия*": name})).last_name == name


def test_phones_have_one_form() -> None:
    for phone in ("+7 (916) 123-45-67", "8 916 123 45 67", "9161234567", "79161234567"):
        assert only_pupil(read(PUPIL | MOTHER | {"Родитель 1: Телефон": phone})).guardians[0].phone == "+79161234567"


# -- people --------------------------------------------------------------------------------------------------------------------------------


def test_a_pupil_may_have_no_guardian_or_only_the_second() -> None:
    assert only_pupil(read(PUPIL)).guardians == ()
    (guardian,) = only_pupil(read(PUPIL | dict.fromkeys(MOTHER, "") | FATHER)).guardians
    assert (guardian.number, guardian.kinship) == (2, "father")


def test_twins_are_two_pupils() -> None:
    file = read(PUPIL | MOTHER, PUPIL | MOTHER | {"ID*": "У2", "Имя*": "Вера", "Согласие №": "С-3"})
    assert file.errors == ()
    assert len({(pupil.last_name, pupil.born_on) for pupil in file.pupils}) == 1
    assert len(file.pupils) == 2


def test_siblings_share_a_guardian_with_the_consent_and_the_address() -> None:
    shared = MOTHER | {"Родитель 1: E-mail": "mother@mail.example", "E-mail": "mother@mail.example"}
    file = read(
        PUPIL | shared, PUPIL | shared | {"ID*": "У2", "Имя*": "Лев", "Класс*": "9Б", "Дата рождения*": "1.2.2000", "Согласие №": "С-3"}
    )
    assert file.errors == ()
    first, second = file.pupils
    assert first.guardians == second.guardians


def test_a_second_row_with_the_same_id_is_rejected_even_if_the_first_is_bad() -> None:
    file = read(PUPIL, PUPIL | {"Имя*": "Вера", "Согласие №": "С-3"})
    assert [pupil.place.row for pupil in file.pupils] == [2]
    assert codes(file) == [(3, "ID", "row.duplicate")]
    file = read(PUPIL | {"Класс*": "?"}, PUPIL)
    assert codes(file) == [(2, "Класс", "class-label.malformed"), (3, "ID", "row.duplicate")]


def test_a_class_that_stands_twice_is_rejected_the_second_time() -> None:
    file = read(CLASS, CLASS | {"Учебный год*": "2016/2017"}, CLASS | {"Литера*": "а"})
    assert codes(file) == [(4, "Литера", "row.duplicate")]


def test_one_guardian_id_is_one_person() -> None:
    other = {"ID*": "У2", "Согласие №": "С-3", "Родитель 1: Согласие №": "", "Родитель 1: Дата": ""}
    assert read(PUPIL | MOTHER, PUPIL | MOTHER | other | {"Родитель 1: Фамилия*": "елкина"}).errors == ()
    assert codes(read(PUPIL | MOTHER, PUPIL | MOTHER | other | {"Родитель 1: Имя*": "Вера"})) == [
        (3, "Родитель 1: ID", "guardian.id-reused")
    ]
    assert [code for _, _, code in codes(read(PUPIL | MOTHER | FATHER | {"Родитель 2: ID": "Р1"}))] == ["guardian.repeated"]


def test_one_consent_number_is_one_person() -> None:
    assert codes(read(PUPIL | MOTHER | {"Родитель 1: Согласие №": "С-1"})) == [(2, "Родитель 1: Согласие №", "consent.number-reused")]


# -- what must never leak ------------------------------------------------------------------------------------------------------------------

SECRET = "Тайнов"


def test_neither_errors_nor_warnings_nor_printed_rows_repeat_what_stands_in_the_file() -> None:
    bad: Row = {**dict.fromkeys(PUPIL | MOTHER, f"{SECRET}9"), "ID*": f"{SECRET}9", "Имя*": "", "Комментарий": SECRET}
    file = read(bad, PUPIL | MOTHER | {"Фамилия*": SECRET})
    assert len(file.errors) >= 8
    assert SECRET not in repr(file.errors)
    assert SECRET not in repr(file.warnings)
    assert SECRET not in repr(file)
    assert SECRET not in str(file.pupils[0])


def test_a_refusal_does_not_repeat_what_stands_in_the_file() -> None:
    for rows in ([[SECRET, SECRET], ["1", SECRET]], [["ID", "Фамилия", "Имя", "Класс", SECRET], ["1", SECRET, SECRET, "5А", SECRET]]):
        refused = refusal(csv_of(rows))
        assert SECRET not in f"{refused} {refused.text} {refused.hint}"


# -- rejected rows go back -----------------------------------------------------------------------------------------------------------------


def test_rejected_rows_come_back_as_a_file_that_can_be_corrected_and_read_again() -> None:
    content = csv_of(table(PUPIL | MOTHER, PUPIL | MOTHER | {"ID*": "У2", "Согласие №": "С-3", "Класс*": "12А"}))
    file = read_roster(content, "pupils.csv")
    back = write_rejected(content, file.errors, "pupils.csv")
    assert back is not None
    assert back.name == "rejected-pupils.csv"
    text = back.content.decode("utf-8-sig")
    assert back.content.startswith("\ufeff".encode())
    assert len(text.splitlines()) == 2
    assert "class-label.malformed" in text
    again = read_roster(back.content, back.name)
    assert [code for _, _, code in codes(again)] == ["class-label.malformed"]
    corrected = read_roster(text.replace("12А", "11А").encode(), back.name)
    pupil = only_pupil(corrected)
    assert (pupil.external_id, pupil.guardians[0].external_id, corrected.warnings) == ("У2", "Р1", ())


def test_a_row_that_is_too_short_comes_back_with_every_column_to_be_filled_in() -> None:
    rows = table(CLASS, CLASS | {"Литера*": "Б"})
    content = csv_of([rows[0], rows[1], rows[2][:2]])
    back = write_rejected(content, read_roster(content, "classes.csv").errors, "classes.csv")
    assert back is not None
    again = read_roster(back.content, back.name)
    assert {(column, code) for _, column, code in codes(again)} == {("Учебный год", "cell.blank"), ("Заявлено учеников", "cell.blank")}


def test_a_csv_row_with_more_cells_than_titles_is_rejected_and_nothing_of_it_is_lost() -> None:
    rows = table(CLASS, CLASS | {"Литера*": "Б"})
    content = csv_of([[*rows[0], "", ""], [*rows[1], "", ""], [*rows[2], "", "математика"]])
    file = read_roster(content, "classes.csv")
    assert (len(file.classes), codes(file)) == (1, [(3, None, "row.too-long")])
    back = write_rejected(content, file.errors, "classes.csv")
    assert back is not None
    assert "математика" in back.content.decode("utf-8-sig")
    again = read_roster(back.content, back.name)
    assert (len(again.classes), again.errors, again.warnings) == (1, (), ())


def test_notes_beside_the_table_of_a_workbook_are_told_of_and_reject_nothing() -> None:
    rows = [*table(CLASS, CLASS | {"Литера*": "Б"}), ["", "", "", "", "проверить"]]
    rows[2].append("профиль?")
    file = read_roster(xlsx_of({"Классы": rows}), "classes.xlsx")
    assert (len(file.classes), file.errors) == (2, ())
    assert [(warning.code, warning.sheet) for warning in file.warnings] == [("column.untitled", "Классы")]
    assert "2 rows, row 3 first" in file.warnings[0].hint


def test_nothing_comes_back_when_nothing_was_rejected() -> None:
    content = csv_of(table(PUPIL))
    assert write_rejected(content, read_roster(content, "x.csv").errors, "x.csv") is None


def test_rejected_rows_of_several_kinds_come_back_as_an_archive() -> None:
    content = xlsx_of({"Ученики": table(PUPIL | {"Имя*": ""}), "Классы": table(CLASS | {"Литера*": ""})})
    back = write_rejected(content, read_roster(content, "school.xlsx").errors, "school.xlsx")
    assert back is not None
    assert back.name == "rejected.zip"
    assert Counter(error.file for error in read_roster(back.content, back.name).errors) == {
        "rejected-pupils.csv": 1,
        "rejected-classes.csv": 1,
    }


@given(st.lists(st.text(max_size=20), min_size=3, max_size=3))
def test_no_rejected_cell_runs_as_a_formula_and_reading_it_again_gives_the_same(texts: list[str]) -> None:
    def lone_surrogates_aside(text: str) -> str:
        return text.encode("utf-8", "ignore").decode().replace("\0", "")

    position, subjects, email = (lone_surrogates_aside(text) for text in texts)
    content = csv_of(table(TEACHER | {"Должность*": position, "Предметы": f"={subjects}", "E-mail": f"@{email}", "СНИЛС": "1"}))
    first = read_roster(content, "x.csv")
    back = write_rejected(content, first.errors, "x.csv")
    assert back is not None
    for row in csv.reader(io.StringIO(back.content.decode("utf-8-sig"), newline=""), delimiter=";"):
        assert not [cell for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    second = read_roster(back.content, "x.csv")
    assert [(error.column, error.code) for error in second.errors] == [(error.column, error.code) for error in first.errors]
    third = write_rejected(back.content, second.errors, "x.csv")
    assert third is not None
    assert third.content.splitlines()[1].split(b";")[2:] == back.content.splitlines()[1].split(b";")[2:]


def test_a_thousand_wrong_rows_are_a_thousand_errors_and_all_come_back() -> None:
    rows = [PUPIL | {"ID*": f"У{number}", "Согласие №": f"С-{number}", "Класс*": "12А"} for number in range(1000)]
    content = csv_of(table(*rows, PUPIL | {"ID*": "У-last", "Согласие №": "С-last"}))
    file = read_roster(content, "pupils.csv")
    assert [error.row for error in file.errors] == list(range(2, 1002))
    assert [pupil.external_id for pupil in file.pupils] == ["У-last"]
    back = write_rejected(content, file.errors, "pupils.csv")
    assert back is not None
    assert read_roster(back.content, back.name).detected[0].rows == 1000


# -- the sample school ---------------------------------------------------------------------------------------------------------------------


def test_the_sample_school_reads_without_an_error_and_is_as_large_as_it_says() -> None:
    school = [
        read_roster(SAMPLES / f"school-{part}")
        for part in ("classes.xlsx", "staff.xlsx", "pupils.xlsx", "pupils-late.xlsx", "newcomer.csv")
    ]
    assert [(file.errors, file.warnings) for file in school] == [((), ())] * 5
    classes, staff, pupils, late, newcomer = school
    assert [str(ClassLabel(row.grade, row.letter)) for row in classes.classes][:4] == ["1А", "1Б", "1В", "2А"]
    assert (len(classes.classes), sum(row.declared_pupils for row in classes.classes)) == (25, 625)
    assert Counter(row.role for row in staff.staff) == {"director": 1, "administrator": 2, "class_teacher": 25, "teacher": 18, "other": 14}
    assert (len(pupils.pupils), len(late.pupils), len(newcomer.pupils)) == (603, 10, 1)
    assert newcomer.detected[0].encoding == "cp1251"
    guardians = {guardian.external_id for row in (*pupils.pupils, *late.pupils) for guardian in row.guardians}
    assert len(guardians) == 1079
    teachers = {str(row.homeroom): row.external_id for row in staff.staff if row.homeroom}
    assert teachers == {f"{row.grade}{row.letter}": row.class_teacher_id for row in classes.classes}


def test_the_sample_school_has_the_families_that_make_trouble() -> None:
    rows = [*read_roster(SAMPLES / "school-pupils.xlsx").pupils, *read_roster(SAMPLES / "school-pupils-late.xlsx").pupils]
    classes_of: dict[str | None, set[ClassLabel]] = {}
    for row in rows:
        for guardian in row.guardians:
            classes_of.setdefault(guardian.external_id, set()).add(row.class_label)
    assert sum(len(classes) > 1 for classes in classes_of.values()) == 99
    twins = [
        (one, other)
        for one in rows
        for other in rows
        if one.born_on == other.born_on and one.guardians == other.guardians and one.external_id < other.external_id
    ]
    assert len(twins) == 4
    assert all(one.first_name != other.first_name for one, other in twins)
    names = {row.last_name for row in rows}
    assert {"Петров-Водкин", "Ёлкин", "Җәләлова", "О'Коннор", "Нгуен"} <= names
    assert any(row.patronymic is None for row in rows)
    assert {guardian.kinship for row in rows for guardian in row.guardians} >= {
        "mother",
        "father",
        "grandparent",
        "step_parent",
        "guardian",
    }


def test_every_person_of_the_sample_school_has_one_consent_number_and_signed_in_time() -> None:
    rows = read_roster(SAMPLES / "school-pupils.xlsx").pupils
    numbers = {guardian.external_id: guardian.consent_number for row in rows for guardian in row.guardians}
    pupils = [row.consent_number for row in rows]
    assert len({*numbers.values(), *pupils}) == len(numbers) + len(pupils)
    days = {person.consent_date for row in rows for person in (row, *row.guardians)}
    assert days == {date(2015, 8, day) for day in (18, 19, 20, 21)}
    assert all(date(2015, 9, 1) >= row.enrolled_on > row.born_on for row in rows)
    for row in rows:
        assert 6 <= (date(2015, 9, 1) - row.born_on).days / 365.25 - row.class_label.grade + 1 <= 8


def test_the_pupils_and_the_refusals_fill_every_declared_seat_in_the_order_of_names() -> None:
    plan = json.loads((SAMPLES / "plan.json").read_text("utf-8"))
    refused = {(entry["class"], entry["list_number"]) for entry in plan["refusals"] if entry["who"] == "pupil"}
    late = {(entry["class"], entry["list_number"]) for entry in plan["late"]}
    assert (len(refused), len(late)) == (12, 10)
    rows = read_roster(SAMPLES / "school-pupils.xlsx").pupils
    for declared in read_roster(SAMPLES / "school-classes.xlsx").classes:
        label = f"{declared.grade}{declared.letter}"
        seats = {(label, number) for number in range(1, declared.declared_pupils + 1)}
        present = [row.last_name.replace("ё", "е").replace("Ё", "Е") for row in rows if str(row.class_label) == label]
        assert len(seats - refused - late) == len(present)
        assert all(one <= other for one, other in pairwise(present))
        # A late pupil sits last, so that the pupils in time take the free seats in the order of the list.
        assert {number for name, number in late if name == label} <= {declared.declared_pupils}
    assert "Фамилия" not in json.dumps(plan, ensure_ascii=False)


def test_the_broken_sample_shows_the_errors_that_its_readme_lists() -> None:
    file = read_roster(SAMPLES / "school-pupils-broken.csv")
    readme = (SAMPLES / "README.md").read_text("utf-8")
    assert [error.row for error in file.errors] == [3, 4, 5, 6, 7, 8, 8, 9, 10]
    assert [pupil.place.row for pupil in file.pupils] == [2, 11]
    for error in file.errors:
        assert any(
            line.startswith(f"| {error.row} |") and f"`{error.code}`" in line and str(error.column) in line for line in readme.splitlines()
        )


def test_the_sample_school_can_be_written_again(tmp_path: Path) -> None:
    subprocess.run([sys.executable, SAMPLES / "generate.py", tmp_path], check=True)
    for path in sorted(tmp_path.iterdir()):
        kept = SAMPLES / path.name
        if path.suffix == ".xlsx":
            # Another version of the library may write other bytes for the same cells.
            assert read_roster(path) == read_roster(kept)
        else:
            assert path.read_bytes() == kept.read_bytes()
    assert len(list(tmp_path.iterdir())) == 8
