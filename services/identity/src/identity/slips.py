"""Slips: one-time codes on paper, to be cut apart and handed over against a signature (DOMAIN 5).

A document's metadata say nothing of whom it is for. The QR code is the same on every slip: it holds the page's address alone, so a
picture of one gives neither login nor code away.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from functools import cache
from importlib import resources
from typing import Any

import segno

from eventkit.typesetting import typeset, written
from identity.codes import ALPHABET

_TITLE = "Листки с временными паролями"
_EXAMPLE_PAGE = "https://portal.example/activate"
_MAX_PAGE = 100  # a longer address does not fit into its line, nor its code into its corner
_LETTERS = "\u00a0".join(symbol for symbol in ALPHABET if symbol.isalpha())
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
        "printed_on": written(now.date()),
        "expires_on": written(expires_on),
        "sections": [_shown(section, page, expires_on) for section in sections],
    }
    return typeset(_template(), data, now=now)


def _shown(section: Section, page: str, expires_on: date) -> Mapping[str, Any]:
    todo = (
        f"Действует по {written(expires_on)} включительно, один раз.",
        f"1) Откройте {page} или наведите камеру на QR-код.",
        f"2) Введите логин и временный пароль. Буквы в пароле только латинские: {_LETTERS}; дефисы и регистр не важны.",
        f"3) Придумайте свой пароль. Потеряли листок? Попросите новый {section.whom_to_ask}.",
    )
    return {"title": section.title, "column": section.column, "todo": todo, "slips": [asdict(slip) for slip in section.slips]}


def _qr(page: str) -> str:
    """The code as SVG. With the mask given, nobody has to try all eight of them."""
    drawn = io.BytesIO()
    segno.make(page, error="m", mask=3, boost_error=False, micro=False).save(drawn, kind="svg", xmldecl=False, border=_BORDER)
    return drawn.getvalue().decode()


@cache
def _template() -> bytes:
    return resources.files("identity").joinpath("slips.typ").read_bytes()
