"""What may stand in a cell, and what is made of it.

Each type here is one sort of column: the ways in which people write it in Russian schools, and the one form that the rest of the program
sees. A cell that cannot be read is refused with a code and with what is expected, never with what stands in it.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from operator import mul
from typing import Annotated

from pydantic import BeforeValidator, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from .words import KINSHIPS, SEXES, YES_NO, Kinship, Role, Sex, folded, role_of

Cell = str | int | float | bool | date | datetime | time | timedelta

_AS_TEXT = re.compile('="([^"]*)"')
"""A formula that is a text: so programs keep a spreadsheet program from reading a number into it."""
_INVISIBLE = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
"""Among them what turns the direction of writing, which comes along when a number is copied, and what moves a terminal's cursor."""
_OTHER_HYPHENS = "\u2010\u2011\u2012\u2212\ufe63\uff0d"
"""What Word and the web write for a hyphen: one that no line is broken at, one for numbers, a minus. Dashes stay what they are."""
_STRESS = "\u0301"
_SEEN_OTHERWISE = re.compile(f"[{_STRESS}{_OTHER_HYPHENS}]")
_AS_SEEN = str.maketrans(_OTHER_HYPHENS, "-" * len(_OTHER_HYPHENS), _STRESS)
_DASHES = ("-", "–", "—", "−")
_TO_BE_LOOKED_AT = frozenset(("'", "=", *_DASHES))  # what begins with none of these is as it is
_ROUNDED_FROM = 1e15
"""A spreadsheet program keeps fifteen digits of a number: the later ones of a longer one are zeros, whatever they were."""
_FORMULA_BEGINNINGS = ("=", "+", "-", "@", "＝", "＋", "－", "＠")


def plain(cell: Cell) -> str:
    """The text that a person sees in the cell, on one line; "" for a blank cell and for one that holds dashes alone.

    The apostrophe that `guarded` puts before a formula's first sign is taken off, and the one by which people tell a spreadsheet program
    that a number or a name is text; in «'т Хоофт» it is part of the name. Programs tell it the same by `="007"`.
    """
    if isinstance(cell, str):
        text = tidy(cell)
        if text[:1] not in _TO_BE_LOOKED_AT:
            return text
        if text.startswith("'") and _is_marked_as_text(text):
            text = text[1:]
        elif text.startswith('="') and (quoted := _AS_TEXT.fullmatch(text)):
            text = quoted[1].strip()
        return "" if text.startswith(_DASHES) and text.strip("".join(_DASHES)) == "" else text
    if isinstance(cell, bool):
        return "да" if cell else "нет"
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell)) if abs(cell) < _ROUNDED_FROM else f"{cell:.14E}"
    if isinstance(cell, datetime):
        return cell.strftime("%d.%m.%Y") if cell.time() == time() else cell.strftime("%d.%m.%Y %H:%M:%S")
    if isinstance(cell, date):
        return cell.strftime("%d.%m.%Y")
    return str(cell)


def tidy(text: str) -> str:
    """The text on one line, without signs that nobody sees. Letters are composed: a Mac writes й as two signs.

    Each sort of hyphen is the one on the keyboard, and a stress mark, which is part of no letter, is left out.
    """
    text = text.strip()
    # Of white space a single kind is printable, and none of the invisible signs is: most cells need not be looked at sign by sign.
    if "  " in text or not text.isprintable():
        text = " ".join(_INVISIBLE.sub("", text).split())
    if text.isascii():
        return text
    text = unicodedata.normalize("NFC", text)
    # A stress mark that is part of a letter, as in é, is composed by now.
    return unicodedata.normalize("NFC", text.translate(_AS_SEEN)) if _SEEN_OTHERWISE.search(text) else text


def guarded(text: str) -> str:
    """The text as it may stand in a file: a spreadsheet program would run what begins like a formula.

    What is guarded is read as what it was: a text that has the guard already gets a second one.
    """
    runs = text.startswith((*_FORMULA_BEGINNINGS, "\t", "\r", "\n"))
    return f"'{text}" if runs or (text.startswith("'") and _is_marked_as_text(text)) else text


def _is_marked_as_text(text: str) -> bool:
    """Whether its apostrophes stand before what a spreadsheet program would take for something else, or before a name."""
    first = text.lstrip("'")[:1]
    return first in _FORMULA_BEGINNINGS or first.isdigit() or first.isupper()


# The readers below get the plain text of a cell that is not blank, or the date of one that holds a date.

# -- text ----------------------------------------------------------------------------------------------------------------------------------

_NAME = re.compile(r"['’]?[^\W\d_](?:[^\W\d_]|[ \-–'’`.()])*")
_WORD = re.compile(r"[^\W\d_]+")
_LATIN = re.compile("[A-Za-z]")
_RUSSIAN = re.compile("[А-яЁё]")
_ROUNDED = re.compile(r"[1-9](?:[.,][0-9]+)?E\+[0-9]{2,3}", re.IGNORECASE)
_EMAIL = re.compile(r"[^\s@,;<>\"]+@[^\s@,;<>\"]+\.[^\s@,;<>\".]{2,}")


def _text(value: object) -> str:
    # A spreadsheet program turns «1-2» into a date by itself; in a column of text it is text again.
    return plain(value) if isinstance(value, date) else str(value)


def _short(value: object) -> str:
    text = _text(value)
    # Whoever else has a number with the same beginning has the same one then.
    if _ROUNDED.fullmatch(text):
        hint = (
            "the whole number, which a spreadsheet program has rounded: give the column the format «Текстовый», then type or paste it anew"
        )
        raise PydanticCustomError("number.rounded", hint)
    if len(text) > 200:
        raise PydanticCustomError("text.too-long", "at most 200 characters")
    return text


def _name(value: object) -> str:
    name = _text(value)
    if len(name) > 100 or not _NAME.fullmatch(name):
        raise PydanticCustomError("name.malformed", "letters, spaces, hyphens and apostrophes, at most 100 of them")
    # Such a name looks right and is never found: it is nobody else's name, and a search by the right letters passes it over.
    if not name.isascii() and _LATIN.search(name) and any(map(_is_mixed, _WORD.findall(name))):
        raise PydanticCustomError("name.mixed-letters", "a word in Russian letters or in Latin ones, not in both: type it anew")
    return name


def _is_mixed(word: str) -> bool:
    return bool(_LATIN.search(word) and _RUSSIAN.search(word))


def _email(value: object) -> str:
    email = _text(value)
    if email[:7].casefold() == "mailto:":
        email = email[7:]
    if len(email) > 254 or not _EMAIL.fullmatch(email):
        raise PydanticCustomError("email.malformed", "one address like name@example.org")
    return email


def _phone(value: object) -> str:
    number = re.sub(r"[\s()\-–.]", "", _text(value))
    if re.fullmatch(r"(\+7|8|7)?[0-9]{10}", number):
        return f"+7{number[-10:]}"
    if re.fullmatch(r"\+[1-9][0-9]{7,14}", number):
        return number
    raise PydanticCustomError("phone.malformed", "one number like +7 (916) 123-45-67 or 8 916 123-45-67")


def phone_written(number: str) -> str:
    """A Russian number as it is dialled at home: it begins with 8, so that no spreadsheet program takes it for a sum."""
    if not re.fullmatch(r"\+7[0-9]{10}", number):
        return number
    return f"8 ({number[2:5]}) {number[5:8]}-{number[8:10]}-{number[10:]}"


Text = Annotated[str, BeforeValidator(_short)]
PersonName = Annotated[str, BeforeValidator(_name)]
Email = Annotated[str, BeforeValidator(_email)]
Phone = Annotated[str, BeforeValidator(_phone)]

# -- dates and numbers ---------------------------------------------------------------------------------------------------------------------

_RUSSIAN_DATE = re.compile(r"([0-9]{1,2})\.([0-9]{1,2})\.([0-9]{4})(?: 0?0:00(?::00)?)?(?: ?(?:г\.?|года))?")
_SPELT_DATE = re.compile(r"([0-9]{1,2}) ([а-я]+) ([0-9]{4})(?: ?(?:г\.?|года))?")
_MONTHS = ("января", "февраля", "марта", "апреля", "мая", "июня", "июля", "августа", "сентября", "октября", "ноября", "декабря")
_SERIAL = re.compile(r"[1-9][0-9]{4}(?:\.[0-9]+)?")
# Where the year comes first, the day comes last whatever stands between.
_ISO_DATE = re.compile(r"([0-9]{4})([-/.])([0-9]{1,2})\2([0-9]{1,2})(?:[ T]00:00(?::00)?)?")
_SNILS = re.compile(r"([0-9]{3})[ \-–]?([0-9]{3})[ \-–]?([0-9]{3})[ \-–]?([0-9]{2})")


def _date_of_text(text: str) -> date | None:
    try:
        if russian := _RUSSIAN_DATE.fullmatch(text):
            return date(int(russian[3]), int(russian[2]), int(russian[1]))
        if (spelt := _SPELT_DATE.fullmatch(text.casefold())) and spelt[2] in _MONTHS:
            return date(int(spelt[3]), _MONTHS.index(spelt[2]) + 1, int(spelt[1]))
        if iso := _ISO_DATE.fullmatch(text):
            return date(int(iso[1]), int(iso[3]), int(iso[4]))
    except ValueError:
        pass
    return None


def _day(value: object) -> date:
    day = value.date() if isinstance(value, datetime) else value if isinstance(value, date) else _date_of_text(str(value))
    if day is None and _SERIAL.fullmatch(str(value)):
        hint = "a day of the calendar: the cell holds the number that Excel counts days by, so give the column the format «Дата»"
        raise PydanticCustomError("date.unreadable", hint)
    if day is None:
        raise PydanticCustomError("date.unreadable", "a day of the calendar: a date cell, or text like 17.08.2015 or 2015-08-17")
    if not 1900 <= day.year <= 2100:
        raise PydanticCustomError("date.out-of-range", "a day between the years 1900 and 2100")
    return day


def whole(least: int, most: int) -> BeforeValidator:
    """A whole number within bounds, both included."""

    def read(value: object) -> int:
        text = _text(value)
        if not re.fullmatch(r"[0-9]{1,6}", text) or not least <= int(text) <= most:
            raise PydanticCustomError("number.out-of-range", "a whole number from {least} to {most}", {"least": least, "most": most})
        return int(text)

    return BeforeValidator(read)


def _snils(value: object) -> str:
    text = _text(value)
    # A cell that holds a number has lost its leading zeros.
    number = _SNILS.fullmatch(text.zfill(11) if text.isdecimal() and len(text) >= 9 else text)
    if number is None:
        raise PydanticCustomError("snils.malformed", "eleven digits: 112-233-445 95, 112-233-445-95 or 11223344595")
    digits = "".join(number.groups())
    weighed = sum(map(mul, map(int, digits[:9]), range(9, 0, -1)))
    # Numbers up to 001-001-998 were given out before there was a check number.
    if digits[:9] > "001001998" and weighed % 101 % 100 != int(digits[9:]):
        raise PydanticCustomError("snils.checksum", "the last two digits must fit the first nine: compare with the certificate")
    return digits


Day = Annotated[date, BeforeValidator(_day)]
Snils = Annotated[str, BeforeValidator(_snils)]

_WRITINGS: Mapping[str, TypeAdapter[str]] = {"phone": TypeAdapter(Phone), "snils": TypeAdapter(Snils)}


def is_written_alike(field: str, kept: str, read: str) -> bool:
    """Whether a field that was kept as somebody wrote it says what a cell said: numbers have several writings."""
    if field not in _WRITINGS:
        return kept == read
    try:
        return _WRITINGS[field].validate_python(kept) == read
    except ValidationError:
        return False


def snils_in(kept: str) -> str | None:
    """The eleven digits of a number that was kept as somebody wrote it; None for what is none."""
    try:
        return _WRITINGS["snils"].validate_python(kept)
    except ValidationError:
        return None


# -- words ---------------------------------------------------------------------------------------------------------------------------------


def _yes_no(value: object) -> bool:
    if (yes := YES_NO.get(folded(_text(value)))) is None:
        raise PydanticCustomError("yes-no.unknown", "да or нет")
    return yes


def _sex(value: object) -> Sex:
    if (sex := SEXES.get(folded(_text(value)))) is None:
        raise PydanticCustomError("sex.unknown", "м or ж")
    return sex


def _kinship(value: object) -> Kinship:
    if (kinship := KINSHIPS.get(folded(_text(value)))) is None:
        raise PydanticCustomError(
            "kinship.unknown", "мать, отец, отчим, мачеха, бабушка, дедушка, опекун, попечитель, усыновитель or прочее"
        )
    return kinship


def _role(value: object) -> Role:
    if (role := role_of(_text(value))) is None:
        raise PydanticCustomError("role.unknown", "директор, администратор, координатор, классный руководитель, учитель or прочее")
    return role


YesNo = Annotated[bool, BeforeValidator(_yes_no)]
SexWord = Annotated[Sex, BeforeValidator(_sex)]
KinshipWord = Annotated[Kinship, BeforeValidator(_kinship)]
RoleWord = Annotated[Role, BeforeValidator(_role)]

# -- classes and school years --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, order=True)
class ClassLabel:
    """A class of the school: grade 1–11 and one Russian capital; «7А»."""

    grade: int
    letter: str

    def __str__(self) -> str:
        return f"{self.grade}{self.letter}"


# A keyboard left in Latin types these for the Russian letters that look the same.
_LOOK_ALIKES = str.maketrans("ABCEHKMOPTXY", "АВСЕНКМОРТХУ")
_QUOTES = "\"'«»„“”‘’`"
_CLASS_LABEL = re.compile(
    rf"0?(1[01]|[1-9])(?:[\-–]?[оы]?й(?= ))?(?: ?(?:класс|кл\.?))?[ \-–—_./{_QUOTES}]*([^\W\d_])[ {_QUOTES}]*(?: (?:класс|кл\.?))?",
    re.IGNORECASE,
)
_SCHOOL_YEAR = re.compile(r"(20[0-9]{2})(?: ?[/\-–] ?(?:20)?([0-9]{2}))?(?: ?(?:уч(?:\.|ебный))? ?(?:г\.?|год))?", re.IGNORECASE)


def _letter(value: object) -> str:
    letter = _text(value).strip(f" {_QUOTES}").upper().translate(_LOOK_ALIKES)
    if not re.fullmatch("[А-ЯЁ]", letter):
        raise PydanticCustomError("letter.malformed", "one Russian letter, like А")
    return letter


def _class_label(value: object) -> ClassLabel:
    label = _CLASS_LABEL.fullmatch(_text(value))
    letter = label[2].upper().translate(_LOOK_ALIKES) if label else ""
    if label is None or not re.fullmatch("[А-ЯЁ]", letter):
        raise PydanticCustomError("class-label.malformed", "grade 1 to 11 and one Russian letter: 7А, 7-А or 7 «А»")
    return ClassLabel(int(label[1]), letter)


def is_class_label(text: str) -> bool:
    try:
        _class_label(text)
    except PydanticCustomError:
        return False
    return True


def _school_year(value: object) -> int:
    years = _SCHOOL_YEAR.fullmatch(_text(value))
    if years is None or (years[2] is not None and int(years[2]) != (int(years[1]) + 1) % 100):
        raise PydanticCustomError("school-year.malformed", "two years that follow each other: 2015/2016")
    return int(years[1])


FIRST_MONTH = 7
"""From July on it is the school year that begins in that calendar year: nobody joins a class of the one that ended in May any more."""


def school_year_on(day: date) -> int:
    """The calendar year in which the school year of a day begins."""
    return day.year - (day.month < FIRST_MONTH)


Letter = Annotated[str, BeforeValidator(_letter)]
Label = Annotated[ClassLabel, BeforeValidator(_class_label)]
SchoolYear = Annotated[int, BeforeValidator(_school_year)]
