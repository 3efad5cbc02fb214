"""The columns of the template: what a school states of a pupil, of a guardian, of one of its staff, of a class.

A field is a column: its type says what may stand there, `Column` which titles it answers to (the first is the template's own), and a field
without a default is one that must be filled. All of it but the place is personal data, so a row never shows its contents when printed.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

from .cells import Day, Email, KinshipWord, Label, Letter, PersonName, Phone, RoleWord, SchoolYear, SexWord, Snils, Text, YesNo, whole
from .findings import Place
from .words import role_of

Kind = Literal["pupils", "staff", "classes"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column's titles; the first is the template's own, the others are understood too. Compared without case, spaces and signs."""

    title: str
    others: tuple[str, ...]

    def __init__(self, title: str, *others: str) -> None:
        object.__setattr__(self, "title", title)
        object.__setattr__(self, "others", others)


_PHONE = Column(
    "Телефон",
    "Мобильный телефон",
    "Моб. телефон",
    "Контактный телефон",
    "Сотовый телефон",
    "Номер телефона",
    "Phone",
    "Phone number",
    "Mobile",
)


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, extra="forbid")

    def __repr_args__(self) -> Iterable[tuple[str | None, object]]:
        return [("place", getattr(self, "place", None))]


class _Person(_Row):
    """What pupils, guardians and staff have in common; a consent is stated by its number and the day it was signed, or not at all."""

    last_name: Annotated[PersonName, Column("Фамилия", "Last name", "Surname", "Family name")]
    first_name: Annotated[PersonName, Column("Имя", "First name", "Given name")]
    patronymic: Annotated[PersonName | None, Column("Отчество", "Отчество (при наличии)", "Patronymic", "Middle name")] = None
    email: Annotated[
        Email | None,
        Column(
            "E-mail", "Email address", "Почта", "Адрес эл. почты", "Эл. адрес", "Эл. почта", "Электронная почта", "Адрес электронной почты"
        ),
    ] = None
    snils: Annotated[Snils | None, Column("СНИЛС", "№ СНИЛС", "Номер СНИЛС", "SNILS")] = None
    consent_number: Annotated[
        Text | None, Column("Согласие №", "№ согласия", "Номер согласия", "Consent number", "Consent no", "Consent №")
    ] = None
    consent_date: Annotated[Day | None, Column("Дата согласия", "Согласие дата", "Consent date", "Consent signed on")] = None

    @model_validator(mode="after")
    def _a_consent_has_a_number_and_a_date(self) -> Self:
        if (self.consent_number is None) != (self.consent_date is None):
            missing = "consent_number" if self.consent_number is None else "consent_date"
            raise PydanticCustomError("consent.incomplete", "a consent has a number and a date of signing, or neither", {"field": missing})
        return self


class GuardianRow(_Person):
    """One of a pupil's guardians, `number` 1 or 2 in the row. The same ID in several rows is the same person (siblings)."""

    number: Literal[1, 2]
    external_id: Annotated[Text | None, Column("ID", "Идентификатор", "External ID")] = None
    kinship: Annotated[KinshipWord, Column("Степень родства", "Родство", "Кем приходится", "Kinship", "Relation", "Relationship")]
    legal_representative: Annotated[YesNo, Column("Законный представитель", "Legal representative")]
    phone: Annotated[Phone | None, _PHONE] = None
    consent_date: Annotated[Day | None, Column("Дата", "Дата согласия", "Consent date", "Consent signed on")] = None


class PupilRow(_Person):
    """A row of «Ученики»."""

    place: Place
    external_id: Annotated[Text, Column("ID", "ID ученика", "Код ученика", "Идентификатор", "External ID", "Pupil ID", "Student ID")]
    born_on: Annotated[Day, Column("Дата рождения", "Дата рожд.", "Д.р.", "День рождения", "Birth date", "Date of birth", "Born on", "DOB")]
    sex: Annotated[SexWord | None, Column("Пол", "Sex", "Gender")] = None
    class_label: Annotated[Label, Column("Класс", "Класс обучения", "Класс (группа)", "Класс/группа", "Учебный класс", "Class")]
    class_year: Annotated[SchoolYear | None, Column("Учебный год", "School year", "Academic year")] = None
    """The year of the class; what a label without one means, the plan says."""
    enrolled_on: Annotated[
        Day,
        Column(
            "Дата зачисления",
            "Дата зачисления в школу",
            "Дата зачисления в ОО",
            "Дата поступления",
            "Зачислен",
            "Enrolled on",
            "Enrolment date",
            "Enrollment date",
        ),
    ]
    order_number: Annotated[
        Text | None,
        Column(
            "№ приказа",
            "Приказ №",
            "№ приказа о зачислении",
            "Номер приказа о зачислении",
            "Приказ",
            "Приказ о зачислении",
            "Order number",
            "Order no",
            "Order №",
        ),
    ] = None
    guardians: tuple[GuardianRow, ...] = ()

    @model_validator(mode="after")
    def _a_pupil_is_born_before_enrolment(self) -> Self:
        if self.born_on >= self.enrolled_on:
            raise PydanticCustomError("date.order", "the day of birth lies before the day of enrolment", {"field": "enrolled_on"})
        return self

    @model_validator(mode="after")
    def _two_guardians_are_two_people(self) -> Self:
        ids = [guardian.external_id for guardian in self.guardians if guardian.external_id is not None]
        if len(set(ids)) < len(ids):
            raise PydanticCustomError("guardian.repeated", "each guardian of a pupil has an ID of their own")
        return self


class StaffRow(_Person):
    """A row of «Сотрудники». A blank role is read off the position, where the position says it."""

    place: Place
    external_id: Annotated[
        Text, Column("Табельный №", "Таб. №", "Таб. номер", "ID", "ID сотрудника", "External ID", "Staff ID", "Employee ID")
    ]
    position: Annotated[Text, Column("Должность", "Position", "Job title")]
    role: Annotated[RoleWord, Column("Роль", "Роль в системе", "Role")]
    homeroom: Annotated[Label | None, Column("Классное руководство", "Homeroom", "Class teacher of")] = None
    subjects: Annotated[Text | None, Column("Предметы", "Предмет", "Subjects", "Subject")] = None
    phone: Annotated[Phone | None, _PHONE] = None
    hired_on: Annotated[Day, Column("Дата приёма", "Дата приёма на работу", "Принят", "Принят на работу", "Hired on", "Hire date")]
    consent_date: Annotated[Day | None, Column("Дата", "Дата согласия", "Consent date", "Consent signed on")] = None

    @model_validator(mode="before")
    @classmethod
    def _a_position_can_name_the_role(cls, values: dict[str, object]) -> dict[str, object]:
        if "role" not in values and (role := role_of(str(values.get("position", "")))):
            return {**values, "role": role}
        return values


class ClassRow(_Row):
    """A row of «Классы». `school_year` is the year in which it begins; `declared_pupils` counts seats, refusals included."""

    place: Place
    grade: Annotated[int, whole(1, 11), Column("Параллель", "Grade", "Parallel")]
    letter: Annotated[Letter, Column("Литера", "Буква", "Letter")]
    school_year: Annotated[SchoolYear, Column("Учебный год", "School year", "Academic year")]
    class_teacher_id: Annotated[Text | None, Column("ID классного руководителя", "Класс. рук. ID", "Class teacher ID")] = None
    shift: Annotated[int | None, whole(1, 3), Column("Смена", "Shift")] = None
    profile: Annotated[Text | None, Column("Профиль", "Profile")] = None
    declared_pupils: Annotated[
        int,
        whole(0, 99),
        Column(
            "Заявлено учеников",
            "Заявлено",
            "Численность",
            "Количество учеников",
            "Кол-во учеников",
            "Количество обучающихся",
            "Declared pupils",
            "Headcount",
        ),
    ]
    week_days: Annotated[int | None, whole(5, 6), Column("Неделя 5/6", "Неделя", "Учебная неделя", "Week 5/6", "Week", "Week days")] = None


ROW_TYPES: dict[Kind, type[PupilRow] | type[StaffRow] | type[ClassRow]] = {"pupils": PupilRow, "staff": StaffRow, "classes": ClassRow}
