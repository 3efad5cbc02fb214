"""What the sample school enters for its year beside its people: periods, bells, lists, a timetable a class. There is no chance in it."""

from itertools import chain
from typing import Any

from school import CLASSES, YEAR, School

QUARTERS = [((9, 1), (11, 8)), ((11, 9), (1, 10)), ((1, 11), (3, 31)), ((4, 1), (5, 31))]
HALVES = [((9, 1), (1, 10)), ((1, 11), (5, 31))]

SHIFTS = {
    1: ["08:30", "09:25", "10:30", "11:35", "12:30", "13:25", "14:20", "15:15"],
    2: ["13:30", "14:25", "15:20", "16:15", "17:10", "18:05"],
}
LESSON_MINUTES = 45

# Lessons a week by the first grade that has them: a grade takes the last line that is not after it.
HOURS: dict[int, dict[str, int]] = {
    1: {"Русский язык": 5, "Математика": 4, "Литературное чтение": 4, "Физическая культура": 3, "Окружающий мир": 2, "Музыка": 1,
        "Изобразительное искусство": 1, "Технология": 1},
    2: {"Русский язык": 5, "Математика": 4, "Литературное чтение": 4, "Физическая культура": 3, "Иностранный язык": 2, "Окружающий мир": 2,
        "Музыка": 1, "Изобразительное искусство": 1, "Технология": 1},
    5: {"Русский язык": 5, "Математика": 5, "Литература": 3, "Иностранный язык": 3, "Физическая культура": 3, "История": 2, "Технология": 2,
        "Биология": 1, "География": 1, "Обществознание": 1, "Информатика": 1, "Музыка": 1, "Изобразительное искусство": 1},
    7: {"Русский язык": 4, "Алгебра": 3, "Иностранный язык": 3, "Физическая культура": 3, "Геометрия": 2, "Литература": 2, "История": 2,
        "Физика": 2, "Биология": 2, "География": 2, "Технология": 2, "Обществознание": 1, "Информатика": 1, "Музыка": 1,
        "Изобразительное искусство": 1, "ОБЖ": 1},
    9: {"Алгебра": 4, "Литература": 3, "Русский язык": 3, "Иностранный язык": 3, "Физическая культура": 3, "Геометрия": 2, "История": 2,
        "Физика": 3, "Химия": 2, "Биология": 2, "География": 2, "Информатика": 2, "Обществознание": 2, "ОБЖ": 1},
    10: {"Алгебра": 4, "Литература": 3, "Физика": 3, "Иностранный язык": 3, "Физическая культура": 3, "Русский язык": 2, "Геометрия": 2,
         "История": 2, "Обществознание": 2, "Информатика": 2, "Химия": 2, "Биология": 2, "География": 1, "ОБЖ": 1, "Астрономия": 1},
}  # fmt: skip

SPECIAL_ROOMS = {
    "Физическая культура": "спортивный зал",
    "Информатика": "кабинет информатики",
    "Технология": "мастерская",
    "Музыка": "актовый зал",
}
GROUP_TYPES = ["класс", "подгруппа по иностранному языку", "подгруппа по технологии", "подгруппа по информатике", "внеурочная деятельность"]
WORKPLACES = {"online": 38, "total": 42}


def year(school: School) -> dict[str, Any]:
    """As the calls of roster take it; classes and shifts stand by their label and number."""
    timetables = {f"{grade}{letter}": _week(grade, number) for number, (grade, letter) in enumerate(CLASSES)}
    return {
        "periods": [
            {"grades": list(range(1, 10)), "periods": [_period(*days) for days in QUARTERS]},
            {"grades": [10, 11], "periods": [_period(*days) for days in HALVES]},
        ],
        "bells": {shift: [{"begins": begins, "ends": _later(begins)} for begins in lessons] for shift, lessons in SHIFTS.items()},
        "lists": {
            "subjects": sorted(set(chain.from_iterable(HOURS.values()))),
            "positions": sorted({member.position for member in school.staff}),
            "rooms": sorted({*SPECIAL_ROOMS.values(), *(_own_room(number) for number in range(len(CLASSES)))}),
            "group-types": GROUP_TYPES,
        },
        "workplaces": WORKPLACES,
        "timetables": timetables,
    }


def _period(first: tuple[int, int], last: tuple[int, int]) -> dict[str, str]:
    def day(month: int, of_month: int) -> str:
        return f"{YEAR if month >= 8 else YEAR + 1}-{month:02}-{of_month:02}"

    return {"begins": day(*first), "ends": day(*last)}


def _later(begins: str) -> str:
    hours, minutes = divmod(int(begins[:2]) * 60 + int(begins[3:]) + LESSON_MINUTES, 60)
    return f"{hours:02}:{minutes:02}"


def _own_room(number: int) -> str:
    return f"кабинет {number // 9 + 1}{number % 9 + 1:02}"


def _week(grade: int, number: int) -> list[dict[str, Any]]:
    """A class's lessons, dealt over its five or six days so that a subject comes as seldom as it can on one day."""
    hours = HOURS[max(first for first in HOURS if first <= grade)]
    days = 6 if grade >= 9 else 5
    dealt: list[list[str]] = [[] for _ in range(days)]
    for index, subject in enumerate(subject for subject, count in hours.items() for _ in range(count)):
        dealt[(index + number) % days].append(subject)
    lessons: list[dict[str, Any]] = []
    for weekday, subjects in enumerate(dealt, 1):
        begin = (number + weekday) % len(subjects)
        for place, subject in enumerate([*subjects[begin:], *subjects[:begin]], 1):
            room = SPECIAL_ROOMS.get(subject, _own_room(number)) if grade > 4 or subject == "Физическая культура" else _own_room(number)
            lessons.append({"weekday": weekday, "number": place, "subject": subject, "room": room})
    return lessons
