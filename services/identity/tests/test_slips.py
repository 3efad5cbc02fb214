"""Slips as PDF: what can be read from them, what their metadata say, and that they fit into an answer whoever they are for."""

import re
from datetime import UTC, date, datetime
from io import BytesIO
from typing import Any

import pytest
from pypdf import PdfReader

from contracts.identity import SLIPS_A_CALL
from eventkit.calls import MAX_BODY_BYTES
from identity import codes
from identity.slips import Section, Slip, page_address, render

PAGE = "https://school.example/activate"
NOW = datetime(2015, 8, 17, 9, 0, 0, 123456, tzinfo=UTC)
SCHOOL = "МБОУ «Средняя общеобразовательная школа № 7»"
CHILDREN = "Ёлкина Мария Петровна, 5 «А» класс"


def slip(name: str = "Ёлкина Мария Петровна", about: str = "Листок ученика, 5 «А» класс", beside: str = "") -> Slip:
    return Slip(name, about, beside, codes.new_login(), codes.new_code())


def pdf(*sections: Section, school: str = SCHOOL) -> Any:
    """The document, opened. What it is made of has types that nobody knows before."""
    return PdfReader(BytesIO(render(school, PAGE, sections, expires_on=date(2015, 11, 15), now=NOW)))


def pupils(*slips: Slip) -> Section:
    return Section("5 «А» класс, ученики", "у классного руководителя", slips)


def guardians(*slips: Slip) -> Section:
    return Section("5 «А» класс, родители", "у классного руководителя", slips, "Ребёнок")


def text_of(page: Any) -> str:
    return page.extract_text().replace("\xa0", " ")


def test_a_slip_says_in_russian_whose_it_is_what_to_type_until_when_and_what_to_do() -> None:
    one = slip()
    text = text_of(pdf(pupils(one)).pages[0])
    for told in (SCHOOL, one.name, one.about, one.login, one.code, "Действует по 15.11.2015 включительно", PAGE, "D F G J L N R V W"):
        assert told in text
    assert "Попросите новый у классного руководителя" in " ".join(text.split())


def test_every_letter_of_russian_and_of_the_languages_of_its_neighbours_is_printed() -> None:
    letters = "АБВГДЕЁЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯ"
    name = f"{letters} {letters.lower()} Әә Өө Үү Җҗ Ңң Һһ Її Єє Ґґ Ўў"
    found = pdf(pupils(slip(name)))
    assert name in " ".join(text_of(found.pages[0]).split())
    for page in found.pages:
        fonts = page["/Resources"]["/Font"].values()
        assert all("/ToUnicode" in font.get_object() for font in fonts)


def test_eight_slips_are_cut_from_a_page_and_each_section_has_pages_of_its_own_and_a_sheet_to_be_signed() -> None:
    children, parents = [slip() for _ in range(9)], [slip("Ёлкина Жанна", "Листок родителя", CHILDREN) for _ in range(3)]
    pages = [text_of(page) for page in pdf(pupils(*children), guardians(*parents)).pages]
    on_pages = [[one.code in page for one in (*children, *parents)].count(True) for page in pages]
    assert on_pages == [8, 1, 0, 3, 0]
    for sheet, title in ((pages[2], "5 «А» класс, ученики"), (pages[4], "5 «А» класс, родители")):
        assert "Ведомость выдачи" in sheet
        assert title in sheet
        assert "Подпись" in sheet
    assert pages[4].count(CHILDREN) == 3
    assert not any(one.login in sheet for one in (*children, *parents) for sheet in (pages[2], pages[4]))


def test_a_document_is_tagged_and_its_metadata_and_outline_name_nobody() -> None:
    found = pdf(pupils(slip()), guardians(slip("Ёлкина Жанна", "Листок родителя", CHILDREN)))
    root = found.trailer["/Root"]
    assert root["/MarkInfo"]["/Marked"]
    assert root["/Lang"] == "ru"
    assert found.outline == []
    xmp = root["/Metadata"].get_data().decode()
    assert "<pdfuaid:part>1</pdfuaid:part>" in xmp
    assert found.metadata is not None
    for told in (xmp, str(found.metadata)):
        assert "Листки с временными паролями" in told
        assert "Ёлкин" not in told
        assert "№ 7" not in told


def test_the_code_for_cameras_is_the_same_on_every_slip() -> None:
    """It holds the page's address and nothing of its own: the same squares are drawn, whoever the slip is for."""
    pages = [pdf(pupils(*(slip() for _ in range(8)))).pages[0], pdf(pupils(slip("Ёлкин Пётр"))).pages[0]]
    drawn = [path for page in pages for path in _PATH.findall(page.get_contents().get_data().decode("latin1")) if path.count("m") > 100]
    assert len(drawn) == 9
    assert len(set(drawn)) == 1


_PATH = re.compile(r"(?:[-0-9.]+ [-0-9.]+ [ml]\s+)+")
"""Lines that are drawn in one go."""


def test_as_many_slips_as_a_call_makes_fit_into_an_answer_however_long_the_names() -> None:
    def long(number: int) -> str:
        return " ".join(f"{number:02}{'ЖЩШЮЫ' * 20}"[:100] for _ in range(3))

    longest = [slip(long(number), f"Листок родителя: {long(number)}", long(number)) for number in range(SLIPS_A_CALL)]
    document = render("Ы" * 200, PAGE, [guardians(*longest)], expires_on=date(2015, 11, 15), now=NOW)
    assert len(document) * 4 / 3 < MAX_BODY_BYTES - 50_000
    opened: Any = PdfReader(BytesIO(document))
    found = "".join(text_of(page) for page in opened.pages)
    assert all(one.code in found and one.login in found for one in longest)


def test_markup_in_a_name_is_printed_as_it_is() -> None:
    name = '#read("/etc/hosts") *Пётр* $x$ \\ @a <b> "в"'
    assert name in " ".join(text_of(pdf(pupils(slip(name))).pages[0]).split())


def test_without_a_configured_page_there_is_an_example_and_none_in_production() -> None:
    assert page_address(None, production=True) is None
    assert (page_address(None, production=False) or "").startswith("https://portal.example/")
    assert page_address(PAGE, production=True) == PAGE
    for wrong in ("school.example", "javascript:alert(1)", "https://" + "a" * 100, "https://школа.рф"):
        with pytest.raises(ValueError, match="begins with https"):
            page_address(wrong, production=False)
