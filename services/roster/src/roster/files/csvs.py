"""Reads csv: finds out its encoding and its delimiter, and notices where the file was cut off.

The whole text is never held: Python keeps a long Russian one in several times the bytes of its file.
"""

import codecs
import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from .findings import FileRefused
from .headers import LOOKED_AT, recognised
from .limits import too_long

Encoding = Literal["utf-8", "utf-8-sig", "cp1251"]

_BOM = b"\xef\xbb\xbf"
_ODD = re.compile("[ЂЃ‚ѓ†‡€‰Љ‹ЊЌЋЏђ•™љ›њќћџЎўЈ¤Ґ¦©Є¬®Ї]")
"""Hardly ever written in Russian; what letters of DOS and of old Macs become in Windows-1251."""
_WORD = re.compile("[А-ЯЁа-яё][а-яё]+")
_TURNED = re.compile("[а-яё][А-ЯЁ]{2,}")
"""KOI8 has small letters where Windows-1251 has capitals."""
_PIECE_BYTES = 2**20
_TOP_BYTES = 2**17
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
SAVE = "Save it as .xlsx, or as .csv in UTF-8 or Windows-1251."
_WHOLE = "Export or copy it again, whole: whatever stood behind that place is missing."


@dataclass(frozen=True, slots=True)
class Csv:
    """`rows` can be gone through once, and may raise `FileRefused`."""

    rows: Iterator[list[str]]
    encoding: Encoding
    delimiter: str


def read_csv(content: bytes, name: str) -> Csv:
    """Raises `FileRefused` for what is no csv."""
    encoding = _encoding(content, name)
    delimiter = _delimiter(content[:_TOP_BYTES].decode(encoding, "ignore"))
    has_end = content.endswith((b"\n", b"\r"))
    return Csv(_refuse_cut(_records(content, encoding, delimiter, name), has_end, name), encoding, delimiter)


def _encoding(content: bytes, name: str) -> Encoding:
    if content.startswith(_UTF_16):
        raise FileRefused("file.unreadable", "It is in UTF-16, which Excel calls «Текст Юникод».", SAVE, file=name)
    if b"\0" in content:
        raise FileRefused("file.unreadable", "It is neither a workbook nor a csv file in UTF-8 or Windows-1251.", SAVE, file=name)
    if content[:256].lstrip(_BOM + b" \t\r\n").startswith((b"<?xml", b"<!DOCTYPE", b"<!doctype", b"<html", b"<HTML", b"<table", b"<meta")):
        text = "It is a web page or XML, as some programs write under the name of a spreadsheet."
        raise FileRefused("file.unreadable", text, "Open it in a spreadsheet program and save it as .xlsx.", file=name)
    if content.startswith(b"%PDF"):
        raise FileRefused("file.unreadable", "It is a PDF document.", "Hand in the table that it was made of, as .xlsx or .csv.", file=name)
    encoding: Encoding
    for encoding in ("utf-8", "cp1251"):
        if content.startswith(_BOM):
            encoding = "utf-8-sig"
        decoder = codecs.getincrementaldecoder(encoding)()
        is_ascii = True
        try:
            for start in range(0, len(content), _PIECE_BYTES):
                is_ascii = decoder.decode(content[start : start + _PIECE_BYTES]).isascii() and is_ascii
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            # What is ASCII up to a letter that is cut may as well be Windows-1251.
            if error.reason == "unexpected end of data" and not is_ascii:
                raise FileRefused("file.cut-off", "It ends in the middle of a letter: it was cut off.", _WHOLE, file=name) from None
        else:
            if encoding == "cp1251":
                _refuse_other_letters(content[:_TOP_BYTES].decode(encoding, "ignore"), name)
            return encoding
    raise FileRefused("file.unreadable", "Its letters are in no known encoding.", SAVE, file=name)


def _refuse_other_letters(top: str, name: str) -> None:
    """Every file is Windows-1251 to a decoder; those of DOS, KOI8 and old Macs have no Russian words in it."""
    odd, words, turned = len(_ODD.findall(top)), len(_WORD.findall(top)), len(_TURNED.findall(top))
    if (odd >= 5 and odd * 20 > sum(not letter.isascii() for letter in top)) or (turned >= 5 and turned > words):
        text = "Its letters are in the encoding of DOS (866), KOI8 or an old Macintosh."
        raise FileRefused("file.unreadable", text, SAVE, file=name)


def _delimiter(top: str) -> str:
    """The delimiter under which the most titles of columns are recognised; the commonest of one of the first lines if there are none."""

    first_lines = top.lstrip().splitlines()[:LOOKED_AT]

    def titles_and_count(delimiter: str) -> tuple[int, int]:
        try:
            records = list(islice(csv.reader(io.StringIO(top, newline=""), delimiter=delimiter), LOOKED_AT))
        except csv.Error:
            return 0, 0
        return max(map(recognised, records), default=0), max((line.count(delimiter) for line in first_lines), default=0)

    return max(";,\t", key=titles_and_count)


def _records(content: bytes, encoding: Encoding, delimiter: str, name: str) -> Iterator[list[str]]:
    text = io.TextIOWrapper(io.BytesIO(content), encoding, newline="")
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    try:
        yield from reader
    except csv.Error as error:
        if "field limit" in str(error):  # the module's own limit lies above ours
            raise too_long(f"A cell around line {reader.line_num}", file=name) from None
        if "unexpected end of data" in str(error):
            raise FileRefused(
                "file.unreadable",
                f"It ends inside a quoted cell, at line {reader.line_num}: it was cut off, or a quotation mark is never closed.",
                "Export or copy it again, whole, or close the quotation mark.",
                file=name,
            ) from None
        raise FileRefused(
            "file.unreadable",
            f"The quotation marks around line {reader.line_num} do not fit together.",
            "Close each one, and double those inside a quoted cell.",
            file=name,
        ) from None


def _refuse_cut(records: Iterator[list[str]], has_end: bool, name: str) -> Iterator[list[str]]:
    """The same rows; refuses where the last, without an end of line, has fewer cells than all of the table above it have."""
    number, widest, even, before = 0, 0, True, list[str]()
    for number, row in enumerate(records, 1):  # noqa: B007 -- the last one is told
        if len(before) > widest:
            widest, even = len(before), True
        elif any(before):
            even = even and len(before) == widest
        before = row
        yield row
    if not has_end and before and even and 0 < len(before) < widest:
        text = f"It ends in the middle of row {number}, which has {len(before)} of {widest} cells and no end of line: it was cut off."
        raise FileRefused("file.cut-off", text, f"{_WHOLE} If it is whole, end its last line.", file=name)
