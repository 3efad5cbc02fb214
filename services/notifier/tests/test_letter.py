"""What a letter says, and to what it can be sent."""

from datetime import UTC, date, datetime
from email import message_from_bytes, policy

import pytest

from contracts.notifier import Template
from notifier.letter import Letter, deliverable, written

NOW = datetime(2015, 9, 2, 6, 0, tzinfo=UTC)


def mail_of(template: Template, due: date | None) -> tuple[dict[str, str], str]:
    letter = Letter("m-1", "school-7", template, 18, due)
    mail = written(letter, sender="vekha@example.org", address="director@example.org", at=NOW)
    read = message_from_bytes(mail.as_bytes(), policy=policy.default)
    return dict(read.items()), read.get_content()


def test_a_letter_goes_to_one_address_in_both_languages_and_says_when_the_step_is_due() -> None:
    headers, text = mail_of("deadline-approaching", date(2015, 9, 7))
    assert headers["To"] == "director@example.org"
    assert headers["From"] == "vekha@example.org"
    assert headers["Message-ID"] == "<m-1@example.org>"
    assert headers["Subject"] == "Шаг 18: приближается срок / Step 18: the deadline is near"
    assert "Школа school-7" in text
    assert "Срок: 07.09.2015." in text
    assert "It is due on 2015-09-07." in text


@pytest.mark.parametrize("template", ["step-completed", "step-reopened"])
def test_a_letter_about_no_date_names_none(template: Template) -> None:
    _, text = mail_of(template, None)
    assert "Шаг 18" in text
    assert "Step 18" in text
    assert "20" not in text


def test_the_text_goes_over_the_wire_in_ascii_lines_that_every_server_takes() -> None:
    letter = Letter("m-1", "school-7", "step-overdue", 18, date(2015, 9, 7))
    raw = written(letter, sender="vekha@example.org", address="director@example.org", at=NOW).as_bytes()
    assert raw.isascii()
    assert max(len(line) for line in raw.splitlines()) < 998


@pytest.mark.parametrize("address", ["", "директор@школа.рф", "a@b, c@d", "a b@c", "<a@b>", "a@b\r\nBcc: c@d", "nobody", "a@b@c"])
def test_what_is_no_single_address_is_never_written_to(address: str) -> None:
    assert not deliverable(address)


def test_an_ordinary_address_can_be_written_to() -> None:
    assert deliverable("o.smirnova+school@mail.example.org")
