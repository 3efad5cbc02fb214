"""Forms of consent as PDF: what can be read from them, how many fit into an answer, and what their metadata say."""

from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import pytest
from pypdf import PdfReader

from consent import templates
from consent.forms import FORMS_A_PART, Form, parts_of, render
from consent.templates import Template
from contracts.roster import Seat, SeatHolder
from eventkit.calls import MAX_BODY_BYTES

NOW = datetime(2015, 8, 17, 9, 0, 0, 123456, tzinfo=UTC)
SCHOOL = "МБОУ «Средняя общеобразовательная школа № 7»"
CHILD, GUARDIAN, PUPIL, STAFF = templates.every()
LONG_NAME = " ".join("ЖЩШЮЫ" * 20 for _ in range(3))

every_template = pytest.mark.parametrize("template", templates.every(), ids=lambda template: template.name)


def of_seat(template: Template, number: int = 7, holder: SeatHolder = SeatHolder.PUPIL) -> Form:
    return Form(template, seat=Seat(class_id="c-5a", number=number, holder=holder))


def pdf(*forms: Form, names: dict[str, str] | None = None) -> Any:
    return PdfReader(BytesIO(render(forms, school=SCHOOL, classes={"c-5a": "5 «А»"}, names=names or {}, now=NOW)))


def text_of(page: Any) -> str:
    return " ".join(page.extract_text().replace("\xa0", " ").split())


def plain(text: str) -> str:
    """Without what a line break may have put in between: hyphens and spaces."""
    return "".join(text.replace("-", "").replace("\xad", "").split())


@every_template
def test_all_that_a_template_says_is_printed(template: Template):
    found = plain("".join(text_of(page) for page in pdf(of_seat(template)).pages))
    for part in parts_of(template.text, {"school": SCHOOL, "person": "____", "seat": "Класс 5 «А», № 7 по списку, ученик"}):
        assert plain(part["text"]) in found
    assert (template.terms.template_sha256 or "no digest") in found
    assert "{" not in found


def test_the_form_of_a_seat_names_nobody_and_leaves_lines_to_be_filled_in():
    [page] = pdf(of_seat(GUARDIAN, 12, SeatHolder.GUARDIAN_2)).pages
    text = text_of(page)
    assert "Класс 5 «А», № 12 по списку, второй родитель (законный представитель)" in text
    assert f"Оператор: {SCHOOL}" in text
    assert "Фамилия, имя, отчество: Класс" in text  # a line is drawn, not written


def test_the_form_of_somebody_entered_holds_the_name_and_no_seat():
    [page] = pdf(Form(STAFF, person="p-1"), names={"p-1": "Ёлкина Жанна Юрьевна"}).pages
    assert "Фамилия, имя, отчество: Ёлкина Жанна Юрьевна Адрес:" in text_of(page)
    assert "по списку" not in text_of(page)


def test_markup_in_a_name_is_printed_as_it_is_and_no_place_of_a_text_is_filled_from_it():
    name = '#read("/etc/hosts") *Пётр* $x$ {school} @a <b>'
    assert name in text_of(pdf(Form(PUPIL, person="p-1"), names={"p-1": name}).pages[0])


def test_each_form_is_a_page_of_its_own():
    pages = [text_of(page) for page in pdf(of_seat(CHILD, 1), of_seat(GUARDIAN, 1, SeatHolder.GUARDIAN_1), of_seat(CHILD, 2)).pages]
    assert [page.count("Решение и подпись") for page in pages] == [1, 1, 1]
    assert ["персональных данных ребёнка" in page for page in pages] == [True, False, True]


def test_a_document_is_tagged_and_its_metadata_and_outline_name_nobody():
    found = pdf(Form(STAFF, person="p-1"), of_seat(CHILD), names={"p-1": "Ёлкина Жанна Юрьевна"})
    root = found.trailer["/Root"]
    assert root["/MarkInfo"]["/Marked"]
    assert root["/Lang"] == "ru"
    assert found.outline == []
    xmp = root["/Metadata"].get_data().decode()
    assert "<pdfuaid:part>1</pdfuaid:part>" in xmp
    for told in (xmp, str(found.metadata)):
        assert "Согласия на обработку персональных данных" in told
        assert "Ёлкин" not in told
        assert "№ 7" not in told


@every_template
def test_as_many_forms_as_a_part_holds_fit_into_an_answer_however_long_the_names(template: Template):
    forms = [Form(template, person=f"p-{number}") for number in range(FORMS_A_PART)]
    names = {f"p-{number}": f"{number:02}{LONG_NAME}" for number in range(FORMS_A_PART)}
    document = render(forms, school="Ы" * 200, classes={}, names=names, now=NOW)
    assert len(document) * 4 / 3 < MAX_BODY_BYTES - 10_000
