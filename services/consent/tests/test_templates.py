"""The texts that are signed: which one on which day, what must stand in them, and that a released one is never changed."""

import hashlib
from datetime import date

import pytest

from consent import templates
from consent.templates import Template, in_force
from contracts.consent import Capacity, SubjectKind
from eventkit.decider import Refused

DAY = date(2015, 8, 17)
PUPIL, GUARDIAN, STAFF = SubjectKind.PUPIL, SubjectKind.GUARDIAN, SubjectKind.STAFF
SELF, REPRESENTED = Capacity.SELF, Capacity.LEGAL_REPRESENTATIVE

every_template = pytest.mark.parametrize("template", templates.every(), ids=lambda template: f"{template.name}.v{template.version}")


def next_version(template: Template, since: date) -> Template:
    content = templates.content(template.name, template.version).replace(f"since = {template.since}".encode(), f"since = {since}".encode())
    return templates.read(template.name, template.version + 1, content)


@pytest.mark.parametrize(
    ("kind", "capacity", "name"),
    [
        (STAFF, SELF, "portal-staff"),
        (GUARDIAN, SELF, "portal-guardian"),
        (PUPIL, REPRESENTED, "portal-child"),
        (PUPIL, SELF, "portal-pupil"),
    ],
)
def test_each_signer_has_a_text_of_the_own(kind: SubjectKind, capacity: Capacity, name: str):
    found = in_force(kind, capacity, DAY, name=None)
    assert (found.name, found.version) == (name, 1)
    assert in_force(kind, capacity, DAY, name=name, version=1) == found


def test_a_template_that_is_not_there_or_was_not_yet_or_is_for_others_is_refused():
    for name, version, on, code in (
        ("portal-nobody", None, DAY, "template.unknown"),
        (None, 9, DAY, "template.unknown"),
        (None, None, date(2007, 1, 26), "template.unknown"),
        ("portal-pupil", None, DAY, "template.other-signer"),
    ):
        with pytest.raises(Refused) as refused:
            in_force(PUPIL, REPRESENTED, on, name=name, version=version)
        assert refused.value.code == code


def test_from_its_first_day_on_a_new_version_is_signed_and_the_one_before_where_it_is_named():
    first = in_force(STAFF, SELF, DAY, name=None)
    second = next_version(first, date(2016, 9, 1))
    known = (first, second)
    assert in_force(STAFF, SELF, date(2016, 8, 31), name=None, of=known) == first
    assert in_force(STAFF, SELF, date(2016, 9, 1), name=None, of=known) == second
    assert in_force(STAFF, SELF, date(2016, 9, 1), name=None, version=1, of=known) == first
    assert second.terms.template_sha256 != first.terms.template_sha256


@every_template
def test_a_text_holds_what_the_law_asks_for_and_says_that_it_is_a_draft(template: Template):
    """152-ФЗ ст. 9 ч. 4: who, with a document; the operator; purpose, data, actions; whoever acts for the operator; term, withdrawal,
    signature."""
    for told in (
        "проект, требует проверки юристом",
        "Фамилия, имя, отчество",
        "Документ",
        "Оператор: {school}",
        "Адрес оператора: ____",
        "по поручению оператора",
        "## Цель",
        "## Какие данные",
        "## Действия с данными",
        "Согласие действует до",
        "отозвать",
        "30 дней",
        "отдельно от других документов",
        "[ ] Даю согласие",
        "[ ] Не даю согласия",
        "Подпись",
    ):
        assert told in template.text
    assert ("подтверждает полномочия" in template.text) == (template.capacity is REPRESENTED)
    assert ("Подпись ученика, которому исполнилось 14 лет" in template.text) == (template.capacity is REPRESENTED)


@every_template
def test_what_is_recorded_is_the_digest_of_the_file(template: Template):
    content = templates.content(template.name, template.version)
    assert template.terms.template_sha256 == hashlib.sha256(content).hexdigest()
    assert template.text.encode() in content


def test_a_released_text_is_never_changed_again_and_every_text_is_released():
    """If this fails, a released text was edited. Write the next version beside it, with the day from which it is signed."""
    found: dict[str, dict[str, str]] = {}
    for template in templates.every():
        content = templates.content(template.name, template.version)
        found.setdefault(template.name, {})[str(template.version)] = hashlib.sha256(content).hexdigest()
    assert templates.released() == found
