"""Who a user of OneRoster is in the school: pupil, member of staff, guardian, or nobody who is entered here."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from roster.files import words
from roster.files.words import YES_NO, Sex, folded

STUDENT = "student"
_TRUE_FALSE: Mapping[str, bool] = {**YES_NO, "t": True, "f": False}

# Our words for role and position; the position is what a row without one is entered with.
STAFF: Mapping[str, tuple[str, str]] = {
    "principal": ("директор", "Директор"),
    "administrator": ("администратор", "Администратор"),
    "siteadministrator": ("администратор", "Администратор"),
    "systemadministrator": ("администратор", "Администратор системы"),
    "districtadministrator": ("прочее", "Администратор округа"),
    "teacher": ("учитель", "Учитель"),
    "counselor": ("прочее", "Педагог-консультант"),
    "aide": ("прочее", "Помощник учителя"),
    "proctor": ("прочее", "Наблюдатель"),
}
"""In the order in which one of several roles of a person is chosen, where none is the primary one."""
_ORDER = tuple(STAFF)

OFFICES = ("principal", "administrator", "siteadministrator", "systemadministrator", "districtadministrator")
"""What somebody is in the org that gave it, and nowhere else: whoever has one here may see and change everybody's details."""

GUARDIANS = ("parent", "guardian", "relative")

ROLES_TOLD = (
    "student, teacher, principal, administrator, siteAdministrator, systemAdministrator, districtAdministrator, counselor, aide, proctor,"
    " parent, guardian and relative"
)
"""All of them, as the standard writes them."""

# A parent's kinship follows from the sex. Parents and guardians represent by law (СК РФ ст. 64, ФЗ № 48 ст. 15); relatives do not.
_PARENTS = {"female": "мать", "male": "отец"}


def kinship(role: str, sex: str | None) -> tuple[str, str]:
    """Our words for a guardian's kinship and for whether the guardian is a legal representative."""
    if role == "parent":
        return _PARENTS.get(sex or "", "прочее"), "да"
    return ("опекун", "да") if role == "guardian" else ("родственник", "нет")


GONE = ("tobedeleted", "inactive", "deleted")
"""The status, without case, of what is no more. The standard has the first alone."""

SEXES: Mapping[str, Sex | None] = {**words.SEXES, "unspecified": None, "other": None}


def truth(cell: str) -> bool | None:
    """Whether a cell says true or false, in whatever words programs and spreadsheets have for it; None where it says neither."""
    return _TRUE_FALSE.get(folded(cell))


def sort_of(role: str) -> str:
    """Whether it is a role of pupils, of staff or of guardians; any other is what it is."""
    word = folded(role)
    return "staff" if word in STAFF else "guardian" if word in GUARDIANS else word


@dataclass(frozen=True, slots=True)
class Person:
    """What a user is: at most one of pupil and staff, and perhaps a guardian besides. Roles are without case."""

    is_pupil: bool
    staff: str | None
    guardian: str | None
    unknown: bool

    @property
    def is_nobody(self) -> bool:
        return not (self.is_pupil or self.staff or self.guardian)


def person_of(here: Sequence[str], anywhere: Sequence[str], primary: Collection[str] = ()) -> Person:
    """By the roles in this school, which of them are primary, and those in any: a guardian is one wherever the role was given."""
    staff = min((role for role in here if role in STAFF), key=lambda role: (role not in primary, _ORDER.index(role)), default=None)
    guardian = next((role for role in GUARDIANS if role in anywhere), None)
    known = {STUDENT, *STAFF, *GUARDIANS}
    return Person(STUDENT in here, staff, guardian, any(role not in known for role in here))
