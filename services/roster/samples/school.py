"""The sample school: its pupils in their seats, the adults behind them, its staff, and who signs, refuses or is late.

Drawn from one source of chance, so the same seed gives the same school. Nobody in it exists: telephone numbers have the area code 000,
СНИЛС begin with 9 (not yet given out), mail goes to the reserved domain `example`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from random import Random

import names

YEAR = 2015
CLASSES = [(grade, letter) for grade in range(1, 12) for letter in ("АБВ" if grade <= 3 else "АБ")]
SEATS = 625
REFUSED_PUPILS = 12
REFUSED_GUARDIANS = 6
LATE = 10
STAFF_SIGNED_ON = date(YEAR, 8, 18)
SIGNED_ON = [date(YEAR, 8, day) for day in (18, 19, 20, 21)]
LATE_SIGNED_ON = date(YEAR, 8, 24)
NEWCOMER_SIGNED_ON = date(YEAR, 9, 1)


@dataclass(slots=True)
class Consent:
    number: str
    signed_on: date


@dataclass(slots=True)
class Adult:
    surname: str
    name: str
    patronymic: str | None
    kinship: str = ""
    legal: bool = True
    id: str = ""
    email: str | None = None
    phone: str | None = None
    snils: str | None = None
    consent: Consent | None = None


@dataclass(slots=True)
class Child:
    surname: str
    name: str
    patronymic: str | None
    sex: str
    grade: int
    letter: str
    born_on: date
    guardians: list[Adult]
    enrolled_on: date
    order: str
    only_child: bool
    id: str = ""
    list_number: int = 0
    email: str | None = None
    snils: str | None = None
    consent: Consent | None = None

    @property
    def label(self) -> str:
        return f"{self.grade}{self.letter}"


@dataclass(slots=True)
class Family:
    """Children before they have a seat: the surname as a son bears it; sex, first name and patronymic of each."""

    surname: str
    children: list[tuple[str, str, str | None]]
    guardians: list[Adult]
    twins: bool = False
    in_one_class: bool = False


@dataclass(slots=True)
class Member:
    person: Adult
    position: str
    role: str
    homeroom: str | None
    subject: str | None
    hired_on: date


def special_families() -> list[Family]:
    """Written out by hand: the names that a program is most likely to get wrong, and twins."""
    return [
        Family("Нгуен", [("м", "Ван Минь", None), ("ж", "Тхи Лан", None)], [
            Adult("Фам", "Тхи Хоа", None, "мать"), Adult("Нгуен", "Ван Тханг", None, "отец")]),
        Family("Җәләлов", [("ж", "Гөлнара", "Илдар кызы"), ("м", "Рөстәм", "Илдар улы")], [
            Adult("Җәләлова", "Ләйсән", "Марат кызы", "мать"), Adult("Җәләлов", "Илдар", "Рөстәм улы", "отец")]),
        Family("Мамедов", [("м", "Эльчин", "Рауф оглы")], [
            Adult("Мамедова", "Севда", "Гасан кызы", "мать"), Adult("Мамедов", "Рауф", "Ибрагим оглы", "отец")]),
        Family("О'Коннор", [("м", "Шон", None)], [
            Adult("О'Коннор", "Мария", "Сергеевна", "мать"), Adult("О'Коннор", "Патрик", None, "отец")]),
        Family("Петров-Водкин", [("м", "Кузьма", "Сергеевич"), ("ж", "Елена", "Сергеевна")], [
            Adult("Петрова-Водкина", "Анна", "Пантелеймоновна", "мать"), Adult("Петров-Водкин", "Сергей", "Фёдорович", "отец")]),
        Family("Шмидт", [("ж", "Анна-Мария", "Александровна")], [
            Adult("Шмидт", "Ольга", "Викторовна", "мать"), Adult("Шмидт", "Александр", "Карлович", "отец")]),
        Family("Ёлкин", [("ж", "Алёна", "Семёновна"), ("м", "Пётр", "Семёнович")], [
            Adult("Ёлкина", "Фёкла", "Артёмовна", "мать"), Adult("Ёлкин", "Семён", "Алексеевич", "отец")]),
        Family("Каримов", [("м", "Жасур", "Бахтиёр угли")], [
            Adult("Каримова", "Дилноза", "Шухрат кизи", "мать"), Adult("Каримов", "Бахтиёр", "Жасурович", "отец")]),
        Family("Смирнов", [("ж", "Ева", None)], [Adult("Смирнова", "Юлия", "Андреевна", "мать")]),
        Family("Королёв", [("м", "Фёдор", "Артёмович"), ("м", "Семён", "Артёмович")], [
            Adult("Королёва", "Алёна", "Игоревна", "мать"), Adult("Королёв", "Артём", "Львович", "отец")], twins=True, in_one_class=True),
        Family("Журавлёв", [("ж", "Софья", "Павловна"), ("ж", "София", "Павловна")], [
            Adult("Журавлёва", "Инна", "Юрьевна", "мать"), Adult("Журавлёв", "Павел", "Олегович", "отец")], twins=True, in_one_class=True),
        Family("Сафин", [("м", "Ильнур", "Маратович"), ("ж", "Алсу", "Маратовна")], [
            Adult("Сафина", "Гузель", "Фаридовна", "мать"), Adult("Сафин", "Марат", "Рашидович", "отец")], twins=True),
        Family("Белов", [("м", "Глеб", "Николаевич"), ("м", "Лев", "Николаевич")], [
            Adult("Белова", "Нина", "Петровна", "опекун")], twins=True),
    ]  # fmt: skip


class School:
    """The children in their seats, the adults behind them and the staff, all drawn from one source of chance."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        self.headcounts = self._headcounts()
        self.free = dict(self.headcounts)
        self.children: list[Child] = []
        for family in special_families():
            self._seat(family)
        self.special = list(self.children)
        for count in [3] * 5 + [2] * 40:
            self._seat(self._family(count))
        while any(self.free.values()):
            self._seat(self._family(1))
        self._number()
        self.refused, self.refused_guardians, self.late = self._choose()
        self.in_time = [child for child in self.children if child not in self.refused and child not in self.late]
        self.staff = self._staff()
        self.refused_staff = self.chance.sample([member for member in self.staff if member.role == "Прочее"], 2)
        self._sign()

    def _headcounts(self) -> dict[tuple[int, str], int]:
        headcounts = {label: 25 + self.chance.randint(-3, 3) for label in CLASSES}
        while spare := SEATS - sum(headcounts.values()):
            headcounts[self.chance.choice(CLASSES)] += 1 if spare > 0 else -1
        return headcounts

    # -- families

    def _family(self, count: int) -> Family:
        chance = self.chance
        tatar = chance.random() < 0.06
        surnames = names.TATAR_SURNAMES if tatar else names.SURNAMES
        boys, girls = (names.TATAR_BOYS, names.TATAR_GIRLS) if tatar else (names.BOYS, names.GIRLS)
        men, women = (names.TATAR_MEN, names.TATAR_WOMEN) if tatar else (names.MEN, names.WOMEN)
        surname, father = chance.choice(surnames), chance.choice(men)

        def woman(kinship: str, foreign: float, *, legal: bool = True) -> Adult:
            own = chance.choice(surnames) if chance.random() < foreign else surname
            return Adult(names.feminine(own), chance.choice(women), names.patronymic(chance.choice(men), "ж"), kinship, legal)

        def man(kinship: str, name: str, foreign: float, *, legal: bool = True) -> Adult:
            own = chance.choice(surnames) if chance.random() < foreign else surname
            return Adult(own, name.partition(":")[0], names.patronymic(chance.choice(men), "м"), kinship, legal)

        children: list[tuple[str, str, str | None]] = []
        for _ in range(count):
            sex = chance.choice("мж")
            taken = [name for _, name, _ in children]
            name = chance.choice([name for name in (boys if sex == "м" else girls) if name not in taken])
            children.append((sex, name, names.patronymic(father, sex)))

        drawn = chance.random()
        if drawn < 0.80:
            guardians = [woman("мать", 0.12), man("отец", father, 0)]
        elif drawn < 0.86:
            guardians = [woman("мать", 0.5), man("отчим", chance.choice(men), 1, legal=False)]
        elif drawn < 0.93:
            guardians = [woman("мать", 0.12), woman("бабушка", 0.5, legal=False)]
        elif drawn < 0.96:
            guardians = [woman("мать", 0.12)]
        elif drawn < 0.97:
            guardians = [man("отец", father, 0), man("дедушка", chance.choice(men), 0.3, legal=False)]
        elif drawn < 0.985:
            guardians = [woman("опекун", 1)]
        else:
            guardians = [woman("усыновитель", 0), man("усыновитель", father, 0)]
        return Family(surname, children, guardians)

    def _seat(self, family: Family) -> None:
        """Gives each child a free seat: twins in one grade, other siblings at least two grades apart."""
        seated: list[Child] = []
        for sex, name, patronymic in family.children:
            labels = [label for label, free in self.free.items() if free]
            if family.twins and seated:
                labels = [
                    label for label in labels if label[0] == seated[0].grade and (label[1] == seated[0].letter) == family.in_one_class
                ]
            elif not family.twins:
                labels = [label for label in labels if all(abs(label[0] - child.grade) >= 2 for child in seated)]
            grade, letter = self.chance.choice(labels)
            self.free[grade, letter] -= 1
            born_on = seated[0].born_on if family.twins and seated else date(YEAR - 6 - grade, 3, 1) + timedelta(self.chance.randrange(365))
            enrolled_on = date(YEAR + 1 - grade, 9, 1)
            if grade > 1 and self.chance.random() < 0.15:
                enrolled_on = date(self.chance.randint(YEAR + 2 - grade, YEAR), 8, 25) + timedelta(self.chance.randrange(8))
            surname = family.surname if sex == "м" else names.feminine(family.surname)
            order = f"{20 + enrolled_on.year % 10 * 3 + grade}-у"
            only_child = len(family.children) == 1
            seated.append(Child(surname, name, patronymic, sex, grade, letter, born_on, family.guardians, enrolled_on, order, only_child))
        self.children += seated
        self._reach(family.guardians, seated)

    def _reach(self, guardians: Sequence[Adult], children: Sequence[Child]) -> None:
        """E-mail, telephone, СНИЛС: some parents share an address, many young children use their mother's."""
        chance = self.chance
        for adult in guardians:
            adult.email = self._email(adult)
            adult.phone = self._phone() if chance.random() < 0.95 else None
            adult.snils = self._snils() if chance.random() < 0.6 else None
        if chance.random() < 0.05:
            guardians[-1].email = guardians[0].email
        for child in children:
            child.snils = self._snils() if chance.random() < 0.85 else None
            if child.grade >= 7 and chance.random() < 0.6:
                child.email = self._email(child)
            elif chance.random() < (0.2 if child.only_child else 0.5):
                child.email = guardians[0].email

    def _email(self, person: Adult | Child) -> str:
        return f"{names.latin(person.surname)}.{names.latin(person.name)[:2]}{self.chance.randrange(1000, 10_000)}@mail.example"

    def _phone(self) -> str:
        return f"+7 (000) {self.chance.randrange(1000):03}-{self.chance.randrange(100):02}-{self.chance.randrange(100):02}"

    def _snils(self) -> str:
        digits = f"9{self.chance.randrange(10**8):08}"
        check = sum(int(digit) * weight for digit, weight in zip(digits, range(9, 0, -1), strict=True)) % 101 % 100
        return f"{digits[:3]}-{digits[3:6]}-{digits[6:]} {check:02}"

    def _number(self) -> None:
        """List numbers: a class in the order of its names, ё as е."""

        def key(child: Child) -> tuple[int, str, str, str]:
            return child.grade, child.letter, child.surname.replace("ё", "е").replace("Ё", "Е"), child.name.replace("ё", "е")

        counts: Counter[str] = Counter()
        self.children.sort(key=key)
        for child in self.children:
            counts[child.label] += 1
            child.list_number = counts[child.label]

    # -- who refuses, who is late, who signs

    def _choose(self) -> tuple[list[Child], list[Child], list[Child]]:
        """Twelve pupils refuse; at six seats the second guardian refuses for himself; ten pupils are late.

        The late ones are the last of their classes, so that the pupils' file fills the seats in the order of the lists without them. One of
        them has a brother or a sister who is in time.
        """
        usual = [child for child in self.children if child not in self.special]
        last = [child for child in usual if child.list_number == self.headcounts[child.grade, child.letter]]
        sibling = self.chance.choice([child for child in last if not child.only_child])
        late = [sibling, *self.chance.sample([child for child in last if child.only_child], LATE - 1)]
        others = [child for child in usual if child.only_child and child not in last and len(child.guardians) == 2]
        refused = self.chance.sample(others, REFUSED_PUPILS + REFUSED_GUARDIANS)
        place = self.children.index
        return sorted(refused[:REFUSED_PUPILS], key=place), sorted(refused[REFUSED_PUPILS:], key=place), sorted(late, key=place)

    def guardians_of(self, child: Child) -> list[Adult]:
        """Those who stand in the child's row."""
        return child.guardians[:1] if child in self.refused_guardians else child.guardians

    def _sign(self) -> None:
        """One consent number a person, in the order of the files; who has signed for one child does not sign again for the next."""
        count = 0

        def signed(on: date) -> Consent:
            nonlocal count
            count += 1
            return Consent(f"С-{YEAR}-{count:04}", on)

        for member in self.staff:
            if member not in self.refused_staff:
                member.person.consent = signed(STAFF_SIGNED_ON)
        guardians = 0
        for number, child in enumerate([*self.in_time, *self.late], 1):
            day = LATE_SIGNED_ON if child in self.late else self.chance.choice(SIGNED_ON)
            child.id = f"У{number:04}"
            child.consent = signed(day)
            for guardian in self.guardians_of(child):
                if guardian.consent is None:
                    guardians += 1
                    guardian.id = f"Р{guardians:04}"
                    guardian.consent = signed(day)

    # -- staff

    def _staff(self) -> list[Member]:
        chance = self.chance
        posts: list[tuple[str, str, str | None, str | None]] = [
            ("Директор", "Директор", None, None),
            ("Заместитель директора по УВР", "Координатор", None, None),
            ("Учитель информатики", "Администратор", None, "Информатика"),
        ]
        for grade, letter in CLASSES:
            subject, of_subject = chance.choice(names.SUBJECTS) if grade > 4 else ("Начальные классы", "начальных классов")
            posts.append((f"Учитель {of_subject}", "Классный руководитель", f"{grade}{letter}", subject))
        posts += [(f"Учитель {of_subject}", "Учитель", None, subject) for subject, of_subject in names.SUBJECTS]
        posts += [(position, "Прочее", None, None) for position in names.OTHER_POSITIONS]
        staff: list[Member] = []
        for number, (position, role, homeroom, subject) in enumerate(posts, 101):
            sex = "ж" if chance.random() < 0.82 else "м"
            surname, father = chance.choice(names.SURNAMES), chance.choice(names.MEN)
            name = chance.choice(names.WOMEN) if sex == "ж" else chance.choice(names.MEN).partition(":")[0]
            person = Adult(names.feminine(surname) if sex == "ж" else surname, name, names.patronymic(father, sex), id=str(number))
            person.email = f"{names.latin(person.surname)}{number}@school.example"
            person.phone, person.snils = self._phone(), self._snils()
            hired_on = date(chance.randint(1988, 2014), 8, 25) + timedelta(chance.randrange(8))
            staff.append(Member(person, position, role, homeroom, subject, hired_on))
        return staff
