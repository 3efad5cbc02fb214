"""Which OneRoster classes are classes of a Russian school, and of which school year.

One school year is read: the first that is not over, or the newest if all are. What the standard calls a class is any group that is taught;
only homerooms are classes here, unless the file marks none as such.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from pydantic import TypeAdapter, ValidationError

from roster.files.cells import FIRST_MONTH, ClassLabel, Day, Label, Letter, SchoolYear
from roster.files.findings import Finding

from .bundle import OTHER_COMMAS, Record

_DAY: TypeAdapter[date] = TypeAdapter(Day)
_LABEL: TypeAdapter[ClassLabel] = TypeAdapter(Label)
_LETTER: TypeAdapter[str] = TypeAdapter(Letter)
_SCHOOL_YEAR: TypeAdapter[int] = TypeAdapter(SchoolYear)
_WORD = re.compile(r"^(?:класс|class|grade|homeroom)\s+|\s*(?:\bкл\.?|класс|class|homeroom)$", re.IGNORECASE)
_OF_YEAR = re.compile(r"[ ,(]+20[0-9]{2} ?[/\-–] ?(?:20)?[0-9]{2}\)?(?: ?уч(?:\.|ебный)? ?(?:г\.?|год))?\)?$", re.IGNORECASE)
"""Behind a title: programs that keep years apart by it write the session's year there, too."""
_MIDNIGHT = re.compile(r"[T ]00:00(?::00(?:\.0+)?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?$")
_TIME = re.compile(r"[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?$")
_NO_DAY = re.compile(r"(?:0001|1753|1900)-01-01|01\.01\.(?:0001|1753|1900)|[2-9][0-9]99-12-31|31\.12\.[2-9][0-9]99")
"""What databases write where there is no day."""
_GRADE = re.compile(r"0?([1-9])|(1[01])")


def day_text(cell: str) -> str:
    """A birthday, without the midnight that some programs write behind it; "" for what databases write where there is none.

    Another time than midnight may be that of another zone, on another day.
    """
    day = _MIDNIGHT.sub("", cell)
    return "" if _NO_DAY.fullmatch(day) else day


def day_of(cell: str) -> date | None:
    """The first or last day in a cell, of which some programs tell the time, too; None for a blank one. Raises ValidationError."""
    day = _TIME.sub("", cell)
    return None if not day or _NO_DAY.fullmatch(day) else _DAY.validate_python(day)


class Sessions:
    """The academic sessions: in which school year each lies, and when that year ends. Unreadable ones lie in none."""

    def __init__(self, sessions: Sequence[Record]) -> None:
        self._sessions = {session["sourcedId"]: session for session in sessions}
        self._years = {key: year for key in self._sessions if (year := self._year(key)) is not None}
        self._begins: dict[int, date] = {}
        self._ends: dict[int, date] = {}
        for key, year in self._years.items():
            begins, ends = readable_day(self._sessions[key]["startDate"]), readable_day(self._sessions[key]["endDate"])
            if begins is not None:
                self._begins[year] = min(begins, self._begins.get(year, begins))
            if ends is not None:
                self._ends[year] = max(ends, self._ends.get(year, ends))

    def years_of(self, sessions: Sequence[str]) -> set[int]:
        """The years in which the sessions lie; without any session, the only year that there is."""
        if not sessions:
            only = set(self._years.values())
            return only if len(only) == 1 else set()
        ids = [one.strip() for session in sessions for one in ([session] if session in self._sessions else OTHER_COMMAS.split(session))]
        return {self._years[one] for one in ids if one in self._years}

    @property
    def years(self) -> Mapping[str, int]:
        """The year in which the school year of each session begins."""
        return self._years

    def begins(self, year: int) -> date:
        return self._begins.get(year, date(year, 9, 1))

    def ends(self, year: int) -> date:
        return self._ends.get(year, date(year + 1, 8, 31))

    def _year(self, key: str) -> int | None:
        """The year in which the session's school year begins: by its dates, else by `schoolYear`, else its parent's."""
        seen: set[str] = set()
        while key in self._sessions and key not in seen:
            seen.add(key)
            session = self._sessions[key]
            if (begins := readable_day(session["startDate"])) is not None:
                ends = readable_day(session["endDate"])
                # What begins before July and goes on over New Year is a whole school year that begins early.
                opens_a_year = begins.month >= FIRST_MONTH or (ends is not None and ends.year > begins.year)
                return begins.year if opens_a_year else begins.year - 1
            if (year := _beginning(session["schoolYear"])) is not None:
                return year
            key = session["parentSourcedId"]
        return None


def _beginning(cell: str) -> int | None:
    """The year in which a school year begins: the standard names the one in which it ends, some programs both."""
    if re.fullmatch("20[0-9]{2}", cell):
        return int(cell) - 1
    try:
        return _SCHOOL_YEAR.validate_python(cell)
    except ValidationError:
        return None


def readable_day(cell: str) -> date | None:
    """As `day_of`; None where the cell says no day that can be read, too."""
    try:
        return day_of(cell)
    except ValidationError:
        return None


@dataclass(frozen=True, slots=True)
class Mapped:
    record: Record
    label: ClassLabel
    year: int


@dataclass(slots=True)
class Classes:
    """What became of the classes of the school, by id. `rejected` and `passed_over` are no classes here; `elsewhen`, among the latter, are
    of other school years.

    Rows of one name and year, as programs write one for each term, are one class: of each id there is the same `Mapped`.
    """

    mapped: dict[str, Mapped]
    rejected: set[str]
    passed_over: set[str]
    elsewhen: set[str]
    errors: list[Finding]
    rows: int
    unlike: list[Record]
    """Passed over as groups for lessons, though titled like a class."""
    untitled: list[Record]
    """Passed over as groups for lessons, as others are titled like classes and these are not."""
    joined: list[Record]
    """The rows, but the first, of each class that several rows are of."""
    other_years: list[tuple[Record, bool]]
    """Each with whether its year comes after the one that is read."""
    elsewhere: Record | None
    """The first class, where there are some and none of them is this school's."""
    over: tuple[Record, int, date] | None
    """A class, its year, and the day on which that ended: where no year of the file goes on any more."""

    def single(self) -> list[Mapped]:
        """Each class once."""
        return list({id(one): one for one in self.mapped.values()}.values())


def map_classes(records: Sequence[Record], school: str, sessions: Sessions, today: date) -> Classes:
    """Maps the classes of one org. Those of other orgs, of other years and, beside homerooms, groups for lessons are passed over."""
    own = [record for record in records if record["schoolSourcedId"] in ("", school)]
    homerooms = any(record["classType"].casefold() == "homeroom" for record in own)
    read, lessons = own, list[Record]()
    if homerooms:
        read = [record for record in own if record["classType"].casefold() == "homeroom"]
        lessons = [record for record in own if record["classType"].casefold() != "homeroom"]
    unlike = [record for record in lessons if isinstance(label_of(record), ClassLabel)]
    untitled = [] if homerooms else _untitled(own)
    elsewhere = records[0] if records and not own else None
    found = Classes({}, set(), {record["sourcedId"] for record in records}, set(), [], 0, unlike, untitled, [], [], elsewhere, None)
    mapped: dict[str, Mapped] = {}
    aside = {id(record) for record in untitled}
    for record in read:
        if id(record) in aside:
            continue
        key = record["sourcedId"]
        found.passed_over.discard(key)
        if wrong := _wrong(record, mapped):
            found.errors.append(wrong)
            found.rejected.add(key)
            continue
        years = sessions.years_of(record.listed("termSourcedIds"))
        label = label_of(record)
        if len(years) != 1:
            hint = "the ids of sessions in academicSessions.csv, all of one school year, with their dates"
            found.errors.append(_error(record, "termSourcedIds", "class.year-unknown", hint))
        elif isinstance(label, Finding):
            found.errors.append(label)
        else:
            mapped[key] = Mapped(record, label, years.pop())
            continue
        found.rejected.add(key)
    if mapped:
        years = sorted({one.year for one in mapped.values()})
        year = next((year for year in years if sessions.ends(year) >= today), years[-1])
        found.mapped = {key: one for key, one in mapped.items() if one.year == year}
        if sessions.ends(year) < today:
            found.over = (next(iter(found.mapped.values())).record, year, sessions.ends(year))
        found.passed_over |= mapped.keys() - found.mapped.keys()
        found.elsewhen = mapped.keys() - found.mapped.keys()
        found.other_years = [(one.record, one.year > year) for one in mapped.values() if one.year != year]
        firsts: dict[ClassLabel, Mapped] = {}
        read_as = {key: firsts.setdefault(one.label, one) for key, one in found.mapped.items()}
        found.joined = [one.record for key, one in found.mapped.items() if read_as[key] is not one]
        found.mapped = read_as
    found.rows = len(found.single()) + len({error.row for error in found.errors})
    return found


def _untitled(records: Sequence[Record]) -> list[Record]:
    """Where some are titled like classes, those that are not."""
    labels = [(record, label_of(record)) for record in records]
    if not any(isinstance(label, ClassLabel) for _, label in labels):
        return []
    return [record for record, label in labels if isinstance(label, Finding) and label.code == _TITLE_UNKNOWN]


def _wrong(record: Record, mapped: Mapping[str, Mapped]) -> Finding | None:
    if record.is_too_long:
        return _error(record, None, "row.too-long", TOO_LONG)
    if not record["sourcedId"]:
        return _error(record, "sourcedId", "cell.blank", "this column must be filled in every row")
    if (first := mapped.get(record["sourcedId"])) is not None:
        return _error(record, "sourcedId", "row.duplicate", f"one row for each id; row {first.record.place.row} has it")
    return None


TOO_LONG = "no more cells than there are titles: put quotation marks around a cell that holds the separator"


def _named(cell: str) -> str:
    """A title without its year and without the word for a class."""
    return _WORD.sub("", _OF_YEAR.sub("", cell)).strip()


_TITLE_UNKNOWN = "class.title-unknown"


def label_of(record: Record) -> ClassLabel | Finding:
    """The class that a row's title, code and grades name, or what is wrong with them."""
    grades = record.listed("grades")
    grade = _GRADE.fullmatch(grades[0]) if len(grades) == 1 else None
    number = int(grade[0]) if grade else None
    for column in ("title", "classCode"):
        text = _named(record[column])
        try:
            label = _LABEL.validate_python(text)
        except ValidationError:
            continue
        if number is not None and label.grade != number:
            return _error(record, "grades", "class.grades-differ", "the grade that the title names")
        return label
    for column in ("title", "classCode"):
        text = _named(record[column])
        try:
            letter = _LETTER.validate_python(text)
        except ValidationError:
            continue
        if number is not None:
            return ClassLabel(number, letter)
        return _error(record, "grades", "class.grade-unknown", "one grade from 01 to 11")
    hint = "a class like 5А or 5 «А»; or one Russian letter, with one grade from 01 to 11 in the column grades"
    return _error(record, "title", _TITLE_UNKNOWN, hint)


def _error(record: Record, column: str | None, code: str, hint: str) -> Finding:
    return Finding(record.place.file, None, record.place.row, column, code, hint)
