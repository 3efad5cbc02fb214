"""What earlier exports of a school have told: which org is this school, and what their ids of classes and sessions stand for here."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from roster.files.exported import Exported

IdKind = Literal["org", "session", "class"]


@dataclass(frozen=True, slots=True)
class ExportId:
    """An id of an export, and what it stands for: the school's own id, the year in which a session's school year begins, or a class's name.

    A class's name is its school year, grade and letter: `2015/2016/5/А`.
    """

    kind: IdKind
    external_id: str
    stands_for: str


@dataclass(frozen=True, slots=True)
class Known:
    """`stands_for` answers what an id of an earlier export stands for: the school, a year, or a class's own id. None is known of the rest.

    `name` is the school's, `confirmed` the id of the org of which somebody says that it is the school. `had_an_export` tells whether any
    export of the school was imported, `has_an_org` whether one that named it by an id of its own. `roster` is the school as it is entered;
    it is there where a file holds changes only.
    """

    stands_for: Callable[[IdKind, str], str | None] = lambda _kind, _external_id: None
    had_an_export: bool = False
    has_an_org: bool = False
    other_schools: frozenset[str] = frozenset()
    name: str | None = None
    confirmed: str | None = None
    roster: Exported | None = None


NOTHING_KNOWN = Known()
