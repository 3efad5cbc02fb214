"""Documents on paper: PDF made in memory, tagged (PDF/UA-1), with the fonts that the typesetter brings along.

What a document looks like does not depend on the machine. What is printed is data of a template and never its source, so no name
is taken for markup. The typesetter is made to forget each document: names and codes do not stay in this process.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from functools import cache
from typing import Any

import typst

_STANDARD = "ua-1"
_NOTHING = b"#none"
_REMEMBERED_DOCUMENTS = 10


def typeset(template: bytes, data: Mapping[str, Any], *, now: datetime) -> bytes:
    """A document as PDF. The template finds the data in `sys.inputs.data`, as JSON; `now` is when it says that it was made.

    It takes some 0.1 s and does not hold Python's lock meanwhile: call it in a thread.
    """
    compiler = typst.Compiler(template, font_paths=_fonts(), ignore_system_fonts=True)
    inputs = {"data": json.dumps(data, ensure_ascii=False)}
    stamp = now.astimezone(UTC).replace(microsecond=0)  # the typesetter takes neither zones by name nor fractions
    try:
        document = compiler.compile(format="pdf", sys_inputs=inputs, pdf_standards=[_STANDARD], timestamp=stamp)
    finally:
        _forget()
    if not isinstance(document, bytes):
        raise TypeError("a PDF is one file")
    return document


def written(day: date) -> str:
    """A day as it is written in Russian documents."""
    return f"{day:%d.%m.%Y}"


def _forget() -> None:
    """Has the typesetter drop what it remembers, names and codes among it: what the last ten documents did not use goes with the next."""
    nothing = typst.Compiler(font_paths=_fonts(), ignore_system_fonts=True)
    for _ in range(_REMEMBERED_DOCUMENTS + 1):
        nothing.compile(_NOTHING, format="svg")


@cache
def _fonts() -> typst.Fonts:
    return typst.Fonts(include_system_fonts=False)
