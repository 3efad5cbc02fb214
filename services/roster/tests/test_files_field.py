"""Lists as Russian schools keep them: by hand, or as their programs write them. Each is read, or refused with what has to be changed."""

import csv
import io
import zipfile
from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Any

import pytest
import xlsxwriter  # pyright: ignore[reportMissingTypeStubs] - it has none

from roster.files import ClassLabel, FileRefused, PupilRow, RosterFile, read_roster, write_rejected

Table = Sequence[Sequence[object]]

TITLES = ["ID", "Фамилия", "Имя", "Отчество", "Дата рождения", "Класс", "Дата зачисления"]
KIM: list[object] = ["1", "Ким", "Ян", "Львович", "17.05.2004", "5А", "01.09.2011"]
LEE: list[object] = ["2", "Ли", "Яна", "", "18.05.2004", "5А", "01.09.2011"]
GUARDIAN = ["ID", "Фамилия", "Имя", "Степень родства", "Законный представитель"]
MOTHER: list[object] = ["Р1", "Ким", "Ева", "мать", "да"]


def workbook(sheets: dict[str, Table], prepare: Callable[[Any, dict[str, Any]], None] | None = None) -> bytes:
    """`prepare` gets the workbook and its sheets by name, to merge and to hide."""
    content = io.BytesIO()
    book: Any = xlsxwriter.Workbook(content)
    day = book.add_format({"num_format": "dd.mm.yyyy"})
    written: dict[str, Any] = {}
    for name, rows in sheets.items():
        written[name] = book.add_worksheet(name)
        for y, row in enumerate(rows):
            for x, cell in enumerate(row):
                if isinstance(cell, date):
                    written[name].write_datetime(y, x, datetime(cell.year, cell.month, cell.day), day)  # noqa: DTZ001 -- a cell has no time zone
                elif cell != "":
                    written[name].write(y, x, cell)
    if prepare is not None:
        prepare(book, written)
    book.close()
    return content.getvalue()


def read(rows: Table, prepare: Callable[[Any, dict[str, Any]], None] | None = None, sheet: str = "Ученики") -> RosterFile:
    return read_roster(workbook({sheet: rows}, prepare), "list.xlsx")


def text_of(rows: Table, delimiter: str = ";") -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter).writerows(rows)
    return text.getvalue().encode("cp1251")


def names(file: RosterFile) -> list[str]:
    assert file.errors == ()
    return [pupil.last_name for pupil in file.pupils]


def warned(file: RosterFile) -> list[str]:
    return [warning.code for warning in file.warnings]


def codes(file: RosterFile) -> list[tuple[int | None, str | None, str]]:
    return [(error.row, error.column, error.code) for error in file.errors]


def refusal(content: bytes, name: str = "list.xlsx") -> FileRefused:
    with pytest.raises(FileRefused) as caught:
        read_roster(content, name)
    return caught.value


# -- what stands around the table ----------------------------------------------------------------------------------------------------------


def test_a_list_may_have_a_heading_a_column_of_numbers_a_row_that_counts_the_columns_and_totals() -> None:
    rows: list[Sequence[object]] = [
        ["МБОУ «Школа № 7»"],
        ["Список обучающихся на 01.09.2015"],
        ["№ п/п", *TITLES],
        [1, 2, 3, 4, 5, 6, 7, 8],
        ["1", *KIM],
        ["2", *LEE],
        ["Итого:", "", "2 человека"],
    ]
    file = read(rows)
    assert names(file) == ["Ким", "Ли"]
    assert [pupil.place.row for pupil in file.pupils] == [5, 6]
    assert file.detected[0].rows == 2
    assert warned(file) == ["row.numbering", "row.total"]


def test_titles_that_are_repeated_on_every_page_are_passed_over() -> None:
    file = read([TITLES, KIM, TITLES, LEE, TITLES])
    assert names(file) == ["Ким", "Ли"]
    assert [(warning.code, warning.hint.endswith("in 2 rows, row 3 first")) for warning in file.warnings] == [("row.header", True)]


def test_a_heading_between_the_rows_is_one_error_that_says_what_to_do() -> None:
    file = read([TITLES, ["5А класс"], KIM, ["5Б класс"], [*LEE[:5], "5Б", LEE[6]]])
    assert codes(file) == [(2, None, "row.heading"), (4, None, "row.heading")]
    assert len(file.pupils) == 2


def test_numbers_that_were_filled_in_beforehand_make_no_rows() -> None:
    file = read([["№", *TITLES], ["1", *KIM], *([str(number)] for number in range(2, 31))])
    assert (names(file), file.warnings) == (["Ким"], ())


@pytest.mark.parametrize("name", ["Всеволодов", "Итоговский"])
def test_a_name_like_the_word_for_a_total_is_a_name(name: str) -> None:
    assert names(read([TITLES[1:] + TITLES[:1], [name, *KIM[2:], "1"]])) == [name]


def test_trailing_empty_columns_and_rows_are_nothing() -> None:
    rows = [[*TITLES, "", "", ""], [*KIM, "", "", ""], [*LEE, "", "", ""], [""] * 10, [""] * 10]
    for content, name in ((workbook({"Лист1": rows}), "x.xlsx"), (text_of(rows), "x.csv")):
        file = read_roster(content, name)
        assert (names(file), file.warnings) == (["Ким", "Ли"], ())


# -- headers -------------------------------------------------------------------------------------------------------------------------------


def test_a_header_may_have_two_lines_with_cells_merged_in_both_directions() -> None:
    rows: list[Sequence[object]] = [
        ["№", "ID", "ФИО", "", "", "Дата рождения", "Класс", "Зачисление", "", "Согласие", "", "Родитель 1", "", "", "", ""],
        ["", "", "Фамилия", "Имя", "Отчество", "", "", "№ приказа", "Дата зачисления", "№", "Дата", *GUARDIAN],
        ["1", *KIM[:6], "12-к", "01.09.2011", "С-1", "20.08.2015", *MOTHER],
    ]

    def merge(_: Any, sheets: dict[str, Any]) -> None:
        for column, title in ((0, "№"), (1, "ID"), (5, "Дата рождения"), (6, "Класс")):
            sheets["Ученики"].merge_range(0, column, 1, column, title)
        sheets["Ученики"].merge_range(0, 2, 0, 4, "ФИО")
        sheets["Ученики"].merge_range(0, 11, 0, 15, "Родитель 1")

    for prepare in (None, merge):
        file = read(rows, prepare)
        assert (names(file), file.warnings) == (["Ким"], ())
        (pupil,) = file.pupils
        assert (pupil.order_number, pupil.consent_number, pupil.consent_date) == ("12-к", "С-1", date(2015, 8, 20))
        assert [guardian.first_name for guardian in pupil.guardians] == ["Ева"]


@pytest.mark.parametrize(("mother", "father"), [("Мать", "Отец"), ("Родитель 1 (мать)", "Родитель 2 (отец)"), ("Мама", "Папа")])
def test_parents_may_be_named_above_their_columns(mother: str, father: str) -> None:
    rows: list[Sequence[object]] = [
        [*["Ученик", *[""] * 6], mother, *[""] * 4, father, *[""] * 4],
        [*TITLES, *GUARDIAN, *GUARDIAN],
        [*KIM, *MOTHER, "2", "Ким", "Пак", "отец", "да"],
    ]
    (pupil,) = read(rows).pupils
    assert [(guardian.number, guardian.first_name) for guardian in pupil.guardians] == [(1, "Ева"), (2, "Пак")]
    titles = ["Мать: ID", "Фамилия матери", "Имя матери", "Степень родства мамы", "Мать — законный представитель"]
    (pupil,) = read([[*TITLES, *titles], [*KIM, *MOTHER]]).pupils
    assert [guardian.number for guardian in pupil.guardians] == [1]
    (pupil,) = read([[*TITLES, *(f"{title} (родитель 2)" for title in GUARDIAN)], [*KIM, *MOTHER]]).pupils
    assert [guardian.number for guardian in pupil.guardians] == [2]


def test_a_parents_column_without_its_parent_is_refused_with_how_it_is_titled() -> None:
    with pytest.raises(FileRefused) as caught:
        read([[*TITLES, *GUARDIAN], [*KIM, *MOTHER]])
    assert caught.value.code == "file.column-repeated"
    assert "«Родитель 1: ID»" in caught.value.hint


def test_titles_may_say_whose_they_are() -> None:
    titles = [
        "ID обучающегося",
        "Фамилия ребенка",
        "Имя обучающегося",
        "Отчество (при наличии)",
        "Дата рожд.",
        "Класс обучения",
        "Дата поступления",
    ]
    assert names(read([titles, KIM])) == ["Ким"]
    staff = ["Таб. номер", "Фамилия сотрудника", "Имя работника", "Должность", "Роль в системе", "Принят на работу", "Моб. телефон"]
    file = read([staff, ["7", "Ким", "Ян", "Учитель физики", "", "25.08.2010", "8(916)123-45-67"]], sheet="Лист1")
    assert [(row.last_name, row.phone) for row in file.staff] == [("Ким", "+79161234567")]


@pytest.mark.parametrize("title", ["ФИО", "Ф.И.О.", "Ф.И.О. обучающегося", "Фамилия Имя Отчество", "Фамилия, имя, отчество"])
def test_whole_names_in_one_column_are_refused_with_how_to_split_them(title: str) -> None:
    rows = [["№ п/п", title, "Дата рождения", "Класс"], ["1", "Ким Ян Львович", "17.05.2004", "5А"]]
    for content, name in ((workbook({"Лист1": rows}), "x.xlsx"), (text_of(rows), "x.csv")):
        refused = refusal(content, name)
        assert refused.code == "file.column-missing"
        assert all(told in refused.text for told in ("«ID»", "«Фамилия»", "«Имя»", "«Дата зачисления»"))
        assert "split it into «Фамилия», «Имя» and «Отчество»" in refused.hint
        assert "number of the personal file" in refused.hint


def test_a_list_of_a_bookkeeping_program_is_refused_with_what_it_lacks() -> None:
    rows: Table = [
        ["Список учащихся"],
        [],
        ["№", "Физическое лицо.Код", "Физическое лицо", "Дата рождения", "Пол", "Класс", "СНИЛС"],
        [1, "000001", "Ким Ян Львович", "17.05.2004 0:00:00", "Мужской", "5А", "112-233-445 95"],
    ]
    refused = refusal(workbook({"TDSheet": rows}))
    assert (refused.code, refused.text) == ("file.column-missing", "Columns are missing: «Фамилия», «Имя», «ID», «Дата зачисления».")
    assert "split it" in refused.hint


def test_a_class_in_two_columns_is_refused_with_how_to_write_it() -> None:
    rows = [
        ["ID", "Фамилия", "Имя", "Дата рождения", "Параллель", "Литер", "Дата зачисления в ОО"],
        ["1", "Ким", "Ян", "17.05.2004", "5", "А", "01.09.2011"],
    ]
    refused = refusal(workbook({"Отчёт": rows}))
    assert (refused.code, refused.text) == ("file.column-missing", "Columns are missing: «Класс».")
    assert "like 5А" in refused.hint


def test_a_merged_title_over_three_columns_of_names_is_refused_the_same_way() -> None:
    rows = [["ID", "ФИО", "", "", "Дата рождения", "Класс", "Дата зачисления"], KIM]
    refused = refusal(workbook({"Лист1": rows}, lambda _, sheets: sheets["Лист1"].merge_range(0, 1, 0, 3, "ФИО")))
    assert (refused.code, refused.text) == ("file.column-missing", "Columns are missing: «Фамилия», «Имя».")
    assert "«Отчество»" in refused.hint


def test_whole_names_of_parents_are_told_of_and_the_pupils_are_read() -> None:
    file = read([[*TITLES, "ФИО матери"], [*KIM, "Ким Ева Олеговна"]])
    assert names(file) == ["Ким"]
    assert [(warning.code, warning.column) for warning in file.warnings] == [("column.unknown", "H «ФИО матери»")]
    assert "split" in file.warnings[0].hint


# -- sheets --------------------------------------------------------------------------------------------------------------------------------


def test_a_sheet_for_each_class_is_one_list() -> None:
    sheets: dict[str, Table] = {'5 "А"': [TITLES, KIM], "5Б": [TITLES, [*LEE[:5], "5Б", LEE[6]]]}
    file = read_roster(workbook(sheets), "list.xlsx")
    assert [str(pupil.class_label) for pupil in file.pupils] == ["5А", "5Б"]


def test_a_class_that_stands_in_the_name_of_the_sheet_alone_has_to_be_written_into_its_rows() -> None:
    rows = [[*TITLES[:5], TITLES[6]], [*KIM[:5], KIM[6]]]
    refused = refusal(workbook({"5 «А»": rows}))
    assert (refused.code, refused.sheet, "«Класс»" in refused.text) == ("file.column-missing", "5 «А»", True)
    assert "name of a sheet is not read as the class" in refused.hint


def test_a_class_in_one_cell_of_several_rows_is_the_class_of_each() -> None:
    blank = [*LEE[:5], "", LEE[6]]
    rows = [TITLES, KIM, blank, ["3", *blank[1:]], ["4", *LEE[1:5], "5Б", LEE[6]]]
    file = read(rows, lambda _, sheets: sheets["Ученики"].merge_range(1, 5, 3, 5, "5А"))
    assert file.errors == ()
    assert [str(pupil.class_label) for pupil in file.pupils] == ["5А", "5А", "5А", "5Б"]
    assert codes(read(rows)) == [(3, "Класс", "cell.blank"), (4, "Класс", "cell.blank")]


def test_rejected_rows_of_merged_cells_come_back_with_what_stood_in_them() -> None:
    rows = [TITLES, KIM, ["2", "", *LEE[2:5], "", LEE[6]]]
    content = workbook({"Ученики": rows}, lambda _, sheets: sheets["Ученики"].merge_range(1, 5, 2, 5, "5А"))
    back = write_rejected(content, read_roster(content, "list.xlsx").errors, "list.xlsx")
    assert back is not None
    assert ";5А;" in back.content.decode("utf-8-sig").splitlines()[1]


def test_a_hidden_sheet_is_not_read_and_hidden_rows_are_and_both_are_told_of() -> None:
    def hide(_: Any, sheets: dict[str, Any]) -> None:
        sheets["Выбывшие"].hide()
        sheets["Справочник"].very_hidden()
        sheets["Ученики"].set_row(2, None, None, {"hidden": True})

    sheets: dict[str, Table] = {"Ученики": [TITLES, KIM, LEE], "Выбывшие": [TITLES, ["9", *KIM[1:]]], "Справочник": [["мать"], ["отец"]]}
    file = read_roster(workbook(sheets, hide), "list.xlsx")
    assert names(file) == ["Ким", "Ли"]
    assert [(warning.sheet, warning.code) for warning in file.warnings] == [
        ("Выбывшие", "sheet.hidden"),
        ("Справочник", "sheet.hidden"),
        ("Ученики", "row.hidden"),
    ]


# -- cells ---------------------------------------------------------------------------------------------------------------------------------


def only(file: RosterFile) -> PupilRow:
    assert file.errors == ()
    (pupil,) = file.pupils
    return pupil


@pytest.mark.parametrize(
    "text",
    ["1.9.2008", "01.09.2008 г.", "01.09.2008г", "1 сентября 2008 г.", "1 Сентября 2008", "1 сентября 2008 года", "01.09.2008 0:00:00"],
)
def test_a_day_is_read_as_people_write_it(text: str) -> None:
    assert only(read([TITLES, [*KIM[:4], text, *KIM[5:6], "01.09.2015"]])).born_on == date(2008, 9, 1)


@pytest.mark.parametrize("text", ["01/09/08", "01/09/2008", "01.09.08", "сентябрь 2008", "1 сентбря 2008", "01.09"])
def test_a_day_that_can_be_two_days_or_none_rejects_its_row_and_says_how_it_is_written(text: str) -> None:
    file = read([TITLES, [*KIM[:4], text, *KIM[5:]]])
    assert codes(file) == [(2, "Дата рождения", "date.unreadable")]
    assert "17.08.2015" in file.errors[0].hint


def test_a_day_that_lost_its_format_is_told_of_as_such() -> None:
    file = read([TITLES, [*KIM[:4], 38124, *KIM[5:]]])
    assert codes(file) == [(2, "Дата рождения", "date.unreadable")]
    assert "«Дата»" in file.errors[0].hint


@pytest.mark.parametrize("label", ["5 А класс", "5а кл.", "5-А", "05А", "5 'А'", "5A"])
def test_a_class_is_read_as_people_write_it(label: str) -> None:
    assert only(read([TITLES, [*KIM[:5], label, KIM[6]]])).class_label == ClassLabel(5, "А")


@pytest.mark.parametrize("word", ["нет", "Нет", "-", "—", "н/д", "Не указано", "отсутствует", "нет данных", "N/A", "null"])
def test_a_word_for_nothing_is_nothing(word: str) -> None:
    titles = [*TITLES, "СНИЛС", "E-mail", "Согласие №", "Дата согласия"]
    pupil = only(read([titles, [*KIM[:3], word, *KIM[4:], word, word, word, word]]))
    assert (pupil.patronymic, pupil.snils, pupil.email, pupil.consent_number, pupil.consent_date) == (None,) * 5


def test_no_is_an_answer_where_it_is_asked_for() -> None:
    titles = [*TITLES, *(f"Родитель {number}: {title}" for number in (1, 2) for title in GUARDIAN)]
    pupil = only(read([titles, [*KIM, *MOTHER[:4], "нет", *["нет"] * 5]]))
    assert [guardian.legal_representative for guardian in pupil.guardians] == [False]
    file = read([titles, ["1", "Нет", *KIM[2:], *[""] * 10]])
    assert names(file) == ["Нет"]


@pytest.mark.parametrize("phone", ["8(916)1234567", "+7 916 123-45-67", "8-916-123-45-67", 89161234567, "916 123 45 67", "8 916 1234567"])
def test_a_phone_is_read_as_people_write_it(phone: object) -> None:
    titles = [*TITLES, *(f"Родитель 1: {title}" for title in (*GUARDIAN, "Телефон"))]
    assert only(read([titles, [*KIM, *MOTHER, phone]])).guardians[0].phone == "+79161234567"


@pytest.mark.parametrize("phone", ["8,91612E+10", "89161234567, 84951234567", "мама 89161234567", "2-12-34"])
def test_what_is_not_one_phone_rejects_its_row(phone: str) -> None:
    titles = [*TITLES, *(f"Родитель 1: {title}" for title in (*GUARDIAN, "Телефон"))]
    assert codes(read([titles, [*KIM, *MOTHER, phone]])) == [(2, "Родитель 1: Телефон", "phone.malformed")]


def test_an_apostrophe_that_says_that_a_cell_is_text_is_no_part_of_it() -> None:
    titles = [*TITLES, "СНИЛС"]
    cells = ["'1", "'Ким", "'Лев", "'Юрьевич", "'01.09.2008", "'5А", "'01.09.2015", "'112-233-445 95"]
    pupil = only(read([titles, cells]))
    assert (pupil.external_id, pupil.last_name, pupil.patronymic, pupil.snils) == ("1", "Ким", "Юрьевич", "11223344595")
    for name in ("'т Хоофт", "О'Коннор", "д'Артаньян"):
        assert only(read([TITLES, [KIM[0], name, *KIM[2:]]])).last_name == name


def test_a_formula_that_says_that_a_cell_is_text_is_no_part_of_it() -> None:
    (pupil,) = read_roster(text_of([TITLES, ['="001"', '="Ким"', *KIM[2:5], '="5А"', KIM[6]]]), "list.csv").pupils
    assert (pupil.external_id, pupil.last_name, pupil.class_label) == ("001", "Ким", ClassLabel(5, "А"))


@pytest.mark.parametrize("number", ["1,23457E+15", "1.23457E+15", 1234567890123450.0])
def test_a_number_that_a_spreadsheet_program_has_rounded_rejects_its_row(number: object) -> None:
    file = read([TITLES, [number, *KIM[1:]], LEE, ["123456789012345", *KIM[1:]]])
    assert codes(file) == [(2, "ID", "number.rounded")]
    assert "«Текстовый»" in file.errors[0].hint
    assert [pupil.external_id for pupil in file.pupils] == ["2", "123456789012345"]


def test_signs_that_nobody_sees_are_no_part_of_a_cell() -> None:
    titles = [*TITLES, *(f"Родитель 1: {title}" for title in (*GUARDIAN, "Телефон"))]
    pupil = only(read([titles, [*KIM[:2], "\u202aЯн\u202c", *KIM[3:], *MOTHER, "\u202a+7 916 123-45-67\u202c"]]))
    assert (pupil.first_name, pupil.guardians[0].phone) == ("Ян", "+79161234567")


@pytest.mark.parametrize("hyphen", list("\u2010\u2011\u2012\u2212\ufe63\uff0d"))
def test_a_hyphen_of_word_is_a_hyphen(hyphen: str) -> None:
    row = ["1", "Петров-Водкин", "Ян", "Львович", "17.05.2004", "5-А", "01.09.2011", "112-233-445-95", "М-1", "14.08.2015", "-"]
    written = [cell.replace("-", hyphen) for cell in row]
    titles = [
        *TITLES,
        "СНИЛС",
        "Согласие №",
        "Дата согласия",
        f"E{hyphen}mail",
        *(f"Родитель 1: {title}" for title in [*GUARDIAN, "Телефон"]),
    ]
    phone = f"8 916 123{hyphen}45{hyphen}67"
    pupil = only(read([titles, [*written, *MOTHER, phone]]))
    assert (pupil.last_name, pupil.class_label, pupil.snils) == ("Петров-Водкин", ClassLabel(5, "А"), "11223344595")
    assert (pupil.consent_number, pupil.email, pupil.guardians[0].phone) == ("М-1", None, "+79161234567")


def test_a_stress_mark_is_no_part_of_a_name_and_an_accent_is() -> None:
    pupil = only(read([TITLES, [KIM[0], "Ивано\u0301в", "Андре\u0301-Rene\u0301", *KIM[3:]]]))
    assert (pupil.last_name, pupil.first_name) == ("Иванов", "Андре-René")


def test_what_moves_a_cursor_is_no_part_of_the_name_of_a_file() -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("5А\x1b[2J\n.csv", text_of([TITLES, KIM, [*KIM[:2], "", *KIM[3:]]]))
        archive.writestr("\x1b[31mread me\u202e.txt", b"")
    file = read_roster(content.getvalue(), "lists.zip")
    assert {finding.file for finding in (*file.errors, *file.warnings)} == {"5А[2J .csv", "[31mread me.txt"}


def test_names_with_yo_two_parts_and_no_patronymic_are_kept_as_they_are_written() -> None:
    pupil = only(read([TITLES, ["1", "Петров-Водкин", "Фёдор", "", *KIM[4:]]]))
    assert (pupil.last_name, pupil.first_name, pupil.patronymic) == ("Петров-Водкин", "Фёдор", None)


def test_numbers_that_are_texts_and_texts_that_are_numbers_are_the_same() -> None:
    titles = ["Параллель", "Литера", "Учебный год", "Кол-во учеников", "Смена"]
    file = read([titles, ["5", "А", "2015-2016 уч. год", "25", "1"], [5, "Б", "2015/2016", 25.0, 1]], sheet="Классы")
    assert file.errors == ()
    assert [(row.grade, row.school_year, row.declared_pupils, row.shift) for row in file.classes] == [(5, 2015, 25, 1)] * 2


@pytest.mark.parametrize("name", ["Ивaнов", "Cемёнов", "Петров-Bодкин"])
def test_a_name_in_letters_of_two_alphabets_rejects_its_row(name: str) -> None:
    file = read([TITLES, [KIM[0], name, *KIM[2:]]])
    assert codes(file) == [(2, "Фамилия", "name.mixed-letters")]


@pytest.mark.parametrize("name", ["Анна-Maria", "Müller", "Нгуен Thi", "O’Коннор"])
def test_two_words_of_a_name_may_be_in_two_alphabets(name: str) -> None:
    assert only(read([TITLES, [KIM[0], name, *KIM[2:]]])).last_name == name


def test_an_address_may_be_a_link() -> None:
    assert only(read([[*TITLES, "E-mail"], [*KIM, "mailto:kim@example.org"]])).email == "kim@example.org"


@pytest.mark.parametrize("encoding", ["cp866", "mac-cyrillic", "koi8-r"])
def test_letters_of_another_encoding_are_told_of_as_such(encoding: str) -> None:
    with pytest.raises(FileRefused) as caught:
        read_roster("\r\n".join(";".join(map(str, row)) for row in (TITLES, KIM, LEE)).encode(encoding), "pupils.csv")
    assert caught.value.code == "file.unreadable"
    assert "DOS (866), KOI8" in caught.value.text


@pytest.mark.parametrize(("content", "code"), [(b"%PDF-1.7 ...", "file.unreadable"), (b"  \r\n ;;\r\n", "file.empty"), (b"", "file.empty")])
def test_what_is_no_table_is_named_as_what_it_is(content: bytes, code: str) -> None:
    with pytest.raises(FileRefused) as caught:
        read_roster(content, "pupils.csv")
    assert caught.value.code == code


def test_a_text_with_tabs_in_windows_letters_is_read() -> None:
    file = read_roster(text_of([["№ п/п", *TITLES], ["1", *KIM], ["2", *LEE]], "\t"), "ученики.txt")
    assert names(file) == ["Ким", "Ли"]
    assert (file.detected[0].encoding, file.detected[0].delimiter) == ("cp1251", "\t")


# -- archives ------------------------------------------------------------------------------------------------------------------------------


def archived(name: str = "pupils.csv") -> bytearray:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, text_of([TITLES, [KIM[0], "", *KIM[2:]]], ";"))
    return bytearray(content.getvalue())


def test_names_in_an_archive_that_windows_has_packed_are_told_as_they_were() -> None:
    name = "Ученики.csv".encode("cp866")
    content = bytes(archived("X" * 7 + ".csv")).replace(b"X" * 7 + b".csv", name)
    file = read_roster(content, "lists.zip")
    assert [(error.file, error.row, error.column) for error in file.errors] == [("Ученики.csv", 2, "Фамилия")]


def test_an_archive_with_a_password_or_of_an_unknown_method_is_told_of_as_such() -> None:
    with_password, unknown = archived(), archived()
    for content, offset, value in ((with_password, 6, 1), (unknown, 8, 9)):
        content[offset] = value
        content[content.find(b"PK\1\2") + offset + 2] = value
    for content, told in ((with_password, "password"), (unknown, "method")):
        with pytest.raises(FileRefused) as caught:
            read_roster(bytes(content), "lists.zip")
        assert caught.value.code == "file.unreadable"
        assert told in caught.value.text
