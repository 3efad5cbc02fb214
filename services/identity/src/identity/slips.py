"""Slips: one-time codes on paper, to be cut apart and handed over against a signature (DOMAIN 5).

A document is made in memory from what is given here and slips.typ, with the fonts that the typesetter brings along; what it looks like
does not depend on the machine. It is tagged (PDF/UA-1), and its metadata say nothing of whom it is for. The QR code is the same on
every slip: it holds the page's address alone, so a picture of one gives neither login nor code away.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from functools import cache
from importlib import resources
from typing import Any

import segno
import typst

from identity.codes import ALPHABET

_TITLE = "Листки с временными паролями"
_STANDARD = "ua-1"
_EXAMPLE_PAGE = "https://portal.example/activate"
_MAX_PAGE = 100  # a longer address does not fit into its line, nor its code into its corner
_LETTERS = "\u00a0".join(symbol for symbol in ALPHABET if symbol.isalpha())
_NOTHING = b"#none"
_REMEMBERED_DOCUMENTS = 10
_BORDER = 0  # the white around the code is the slip's own


@dataclass(frozen=True, slots=True)
class Slip:
    """One person's slip. `about` says as what the person gets it, `beside` whose guardian it is, on the sheet to be signed."""

    name: str
    about: str
    beside: str
    login: str
    code: str


@dataclass(frozen=True, slots=True)
class Section:
    """Slips that are cut and handed out together, with a sheet of their own. `column` heads what stands beside the names there."""

    title: str
    whom_to_ask: str
    slips: Sequence[Slip]
    column: str | None = None


def page_address(configured: str | None, *, production: bool) -> str | None:
    """The address of the page on which codes are used: as configured; if that is left out, an example, and none in production.

    Raises ValueError where it is no address.
    """
    if configured is None:
        return None if production else _EXAMPLE_PAGE
    if not configured.startswith(("https://", "http://")) or len(configured) > _MAX_PAGE or not configured.isascii():
        raise ValueError(f"the page to activate accounts must be an address of at most {_MAX_PAGE} Latin signs that begins with https://")
    return configured


def render(school: str, page: str, sections: Sequence[Section], *, expires_on: date, now: datetime) -> bytes:
    """The slips as PDF, each section on pages of its own. `now` is when they were printed, in the school's time."""
    data = {
        "title": _TITLE,
        "school": school,
        "qr": _qr(page),
        "printed_on": _written(now.date()),
        "expires_on": _written(expires_on),
        "sections": [_shown(section, page, expires_on) for section in sections],
    }
    compiler = typst.Compiler(_template(), font_paths=_fonts(), ignore_system_fonts=True)
    inputs = {"data": json.dumps(data, ensure_ascii=False)}
    stamp = now.astimezone(UTC).replace(microsecond=0)  # the typesetter takes neither zones by name nor fractions
    try:
        document = compiler.compile(format="pdf", sys_inputs=inputs, pdf_standards=[_STANDARD], timestamp=stamp)
    finally:
        _forget()
    if not isinstance(document, bytes):
        raise TypeError("a PDF is one file")
    return document


def _forget() -> None:
    """Has the typesetter drop what it remembers, names and codes among it: what the last ten documents did not use goes with the next."""
    nothing = typst.Compiler(font_paths=_fonts(), ignore_system_fonts=True)
    for _ in range(_REMEMBERED_DOCUMENTS + 1):
        nothing.compile(_NOTHING, format="svg")


def _shown(section: Section, page: str, expires_on: date) -> Mapping[str, Any]:
    todo = (
        f"Действует по {_written(expires_on)} включительно, один раз.",
        f"1) Откройте {page} или наведите камеру на QR-код.",
        f"2) Введите логин и временный пароль. Буквы в пароле только латинские: {_LETTERS}; дефисы и регистр не важны.",
        f"3) Придумайте свой пароль. Потеряли листок? Попросите новый {section.whom_to_ask}.",
    )
    return {"title": section.title, "column": section.column, "todo": todo, "slips": [asdict(slip) for slip in section.slips]}


def _written(day: date) -> str:
    return f"{day:%d.%m.%Y}"


def _qr(page: str) -> str:
    """The code as SVG. With the mask given, nobody has to try all eight of them."""
    drawn = io.BytesIO()
    segno.make(page, error="m", mask=3, boost_error=False, micro=False).save(drawn, kind="svg", xmldecl=False, border=_BORDER)
    return drawn.getvalue().decode()


@cache
def _template() -> bytes:
    return resources.files("identity").joinpath("slips.typ").read_bytes()


@cache
def _fonts() -> typst.Fonts:
    return typst.Fonts(include_system_fonts=False)
