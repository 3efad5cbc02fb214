"""Writes the sample files: what one invented Russian school would hand in, and what a demo has to know beside it.

    python services/roster/samples/generate.py [FOLDER]

A second run writes the same bytes.
"""

import csv
import io
import json
import sys
from collections.abc import Iterable
from datetime import date, datetime, time
from pathlib import Path

import xlsxwriter  # pyright: ignore[reportMissingTypeStubs] - it has none
from school import LATE_SIGNED_ON, NEWCOMER_SIGNED_ON, SIGNED_ON, STAFF_SIGNED_ON, YEAR, Adult, Child, Consent, School
from year import year

SEED = 39_2

Value = str | int | date | None
Sheet = tuple[list[str], list[list[Value]]]

GUARDIAN_TITLES = [
    "ID", "Фамилия*", "Имя*", "Отчество", "Степень родства*", "Законный представитель*", "E-mail", "Телефон", "СНИЛС", "Согласие №", "Дата",
]  # fmt: skip
PUPIL_TITLES = [
    "ID*", "Фамилия*", "Имя*", "Отчество", "Дата рождения*", "Пол", "Класс*", "Дата зачисления*", "№ приказа", "СНИЛС", "E-mail",
    "Согласие №", "Дата согласия",
    *(f"Родитель {number}: {title}" for number in (1, 2) for title in GUARDIAN_TITLES),
]  # fmt: skip
STAFF_TITLES = [
    "Табельный №*", "Фамилия*", "Имя*", "Отчество", "Должность*", "Роль*", "Классное руководство", "Предметы", "E-mail", "Телефон", "СНИЛС",
    "Дата приёма*", "Согласие №", "Дата",
]  # fmt: skip
CLASS_TITLES = [
    "Параллель*", "Литера*", "Учебный год*", "ID классного руководителя", "Смена", "Профиль", "Заявлено учеников*", "Неделя 5/6",
]  # fmt: skip


def _consent(consent: Consent | None) -> list[Value]:
    return [consent.number, consent.signed_on] if consent else [None, None]


def _guardian(person: Adult) -> list[Value]:
    named: list[Value] = [person.id, person.surname, person.name, person.patronymic, person.kinship, "да" if person.legal else "нет"]
    return [*named, person.email, person.phone, person.snils, *_consent(person.consent)]


def _pupil(child: Child, guardians: Iterable[Adult]) -> list[Value]:
    row: list[Value] = [child.id, child.surname, child.name, child.patronymic, child.born_on, child.sex, child.label, child.enrolled_on]
    row += [child.order, child.snils, child.email, *_consent(child.consent)]
    for guardian in guardians:
        row += _guardian(guardian)
    return row + [None] * (len(PUPIL_TITLES) - len(row))


def pupils_sheet(school: School, children: Iterable[Child]) -> Sheet:
    return PUPIL_TITLES, [_pupil(child, school.guardians_of(child)) for child in children]


def staff_sheet(school: School) -> Sheet:
    rows: list[list[Value]] = []
    for member in school.staff:
        person = member.person
        row: list[Value] = [person.id, person.surname, person.name, person.patronymic, member.position, member.role, member.homeroom]
        rows.append([*row, member.subject, person.email, person.phone, person.snils, member.hired_on, *_consent(person.consent)])
    return STAFF_TITLES, rows


def classes_sheet(school: School) -> Sheet:
    teachers = {member.homeroom: member.person.id for member in school.staff}
    profiles = {(10, "А"): "физико-математический", (10, "Б"): "социально-экономический", (11, "А"): "физико-математический"}
    rows: list[list[Value]] = []
    for (grade, letter), headcount in school.headcounts.items():
        shift, week = 2 if grade in (3, 6) else 1, 6 if grade >= 9 else 5
        profile = profiles.get((grade, letter))
        rows.append([grade, letter, f"{YEAR}/{YEAR + 1}", teachers[f"{grade}{letter}"], shift, profile, headcount, week])
    return CLASS_TITLES, rows


def newcomer_sheet() -> Sheet:
    """A girl who comes on 1 September, with her mother."""
    mother = Adult("Ковалёва", "Ольга", "Викторовна", "мать", id="Р9001", email="kovaleva.ol@mail.example", phone="8 000 111-22-33")
    mother.consent = Consent(f"С-{YEAR}-9002", NEWCOMER_SIGNED_ON)
    born_on = date(YEAR - 11, 5, 17)
    child = Child("Ковалёва", "Дарья", "Игоревна", "ж", 5, "Б", born_on, [mother], NEWCOMER_SIGNED_ON, "71-у", only_child=True, id="У9001")
    child.consent = Consent(f"С-{YEAR}-9001", NEWCOMER_SIGNED_ON)
    return PUPIL_TITLES, [_pupil(child, child.guardians)]


def broken_sheet() -> Sheet:
    """Two good rows, and eight that are wrong in one way each (README.md)."""
    titles = [*PUPIL_TITLES[:19], "Комментарий"]

    def row(number: int, surname: str, name: str, changed: dict[str, str]) -> list[Value]:
        usual = [f"У91{number:02}", surname, name, "Петровна", "14.06.2006", "ж", "3А", "01.09.2013", "", "", ""]
        cells = dict(zip(titles, [*usual, f"С-{YEAR}-91{number:02}", "20.08.2015"], strict=False)) | changed
        return [cells.get(title) for title in titles]

    guardian = {"Родитель 1: Фамилия*": "Жарова", "Родитель 1: Имя*": "Алла", "Родитель 1: Законный представитель*": "возможно"}
    return titles, [
        row(1, "Анисимова", "Вера", {}),
        row(2, "Бочарова", "Зоя", {"Дата рождения*": "31.02.2006"}),
        row(3, "", "Инна", {}),
        row(4, "Гончарова", "Кира", {"СНИЛС": "912-345-678 17"}),
        row(5, "Дроздова", "Лада", {"Класс*": "12А"}),
        row(6, "Еремеева", "Майя", {"ID*": "У9101"}),
        row(7, "Жарова", "Нелли", guardian),
        row(8, "Зимина", "Раиса", {"E-mail": "zimina.mail.example"}),
        row(9, "Ильина", "Тамара", {"Дата согласия": ""}),
        row(10, "Калинина", "Эмма", {"Дата рождения*": "2006-06-14", "Класс*": "3-А", "Комментарий": "переведена из другой школы"}),
    ]


def write_xlsx(path: Path, name: str, sheet: Sheet) -> None:
    titles, rows = sheet
    # The time of making stands in the file; without this line it would differ from run to run.
    workbook = xlsxwriter.Workbook(path)
    made = {"created": datetime(YEAR, 8, 17)}  # noqa: DTZ001 - this field of the format has no time zone
    workbook.set_properties(made)  # pyright: ignore[reportUnknownMemberType] - no types
    bold = workbook.add_format({"bold": True, "bottom": 1, "text_wrap": True, "valign": "top"})  # pyright: ignore[reportUnknownMemberType] - no types
    day = workbook.add_format({"num_format": "dd.mm.yyyy", "align": "left"})  # pyright: ignore[reportUnknownMemberType] - no types
    page = workbook.add_worksheet(name)  # pyright: ignore[reportUnknownMemberType] - no types
    page.freeze_panes(1, 3)
    page.autofilter(0, 0, len(rows), len(titles) - 1)
    for column, title in enumerate(titles):
        page.set_column(column, column, max(len(title) // 2, *(len(str(row[column] or "")) for row in rows)) + 2)
        page.write_string(0, column, title, bold)
    for number, row in enumerate(rows, 1):
        for column, value in enumerate(row):
            if isinstance(value, date):
                page.write_datetime(number, column, datetime.combine(value, time()), day)
            elif isinstance(value, int):
                page.write_number(number, column, value)
            elif value:
                page.write_string(number, column, value)
    workbook.close()


def write_csv(path: Path, sheet: Sheet, encoding: str) -> None:
    titles, rows = sheet
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=";")
    writer.writerow(titles)
    writer.writerows([value.strftime("%d.%m.%Y") if isinstance(value, date) else value for value in row] for row in rows)
    path.write_bytes(text.getvalue().encode(encoding))


KINSHIPS = {
    "мать": "mother",
    "отец": "father",
    "отчим": "step_parent",
    "бабушка": "grandparent",
    "дедушка": "grandparent",
    "усыновитель": "adoptive_parent",
}


def plan(school: School) -> dict[str, object]:
    """What a demo has to know beside the files, without a name: who refuses, and from which day on each file can be handed in.

    `kinship` is that of the guardian who decides, for the pupil or for the own data.
    """

    def refusal(child: Child, who: str) -> dict[str, object]:
        day = SIGNED_ON[child.list_number % len(SIGNED_ON)]
        decider = child.guardians[1 if who == "guardian-2" else 0]
        seat = {"class": child.label, "list_number": child.list_number, "who": who}
        return {**seat, "kinship": KINSHIPS[decider.kinship], "decided_on": day.isoformat()}

    return {
        "school_year": YEAR,
        "files": [
            {"name": "school-classes.xlsx", "from": date(YEAR, 8, 17).isoformat()},
            {"name": "school-staff.xlsx", "from": STAFF_SIGNED_ON.isoformat()},
            {"name": "school-pupils.xlsx", "from": SIGNED_ON[-1].isoformat()},
            {"name": "school-pupils-late.xlsx", "from": LATE_SIGNED_ON.isoformat()},
            {"name": "school-newcomer.csv", "from": NEWCOMER_SIGNED_ON.isoformat()},
        ],
        "refusals": [
            *(refusal(child, who) for child in school.refused for who in ("pupil", "guardian-1")),
            *(refusal(child, "guardian-2") for child in school.refused_guardians),
        ],
        "staff_refusals": [{"staff_id": member.person.id, "decided_on": STAFF_SIGNED_ON.isoformat()} for member in school.refused_staff],
        "late": [{"class": child.label, "list_number": child.list_number} for child in school.late],
        "newcomer": {"class": "5Б", "list_number": school.headcounts[5, "Б"] + 1},
    }


def generate(folder: Path) -> None:
    school = School(SEED)
    write_xlsx(folder / "school-classes.xlsx", "Классы", classes_sheet(school))
    write_xlsx(folder / "school-staff.xlsx", "Сотрудники", staff_sheet(school))
    write_xlsx(folder / "school-pupils.xlsx", "Ученики", pupils_sheet(school, school.in_time))
    write_xlsx(folder / "school-pupils-late.xlsx", "Ученики", pupils_sheet(school, school.late))
    write_csv(folder / "school-newcomer.csv", newcomer_sheet(), "cp1251")
    write_csv(folder / "school-pupils-broken.csv", broken_sheet(), "utf-8-sig")
    (folder / "plan.json").write_text(json.dumps(plan(school), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    lines = [f"{json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}" for name, value in year(school).items()]
    (folder / "year.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
