"""What a letter says, and to what it can be sent."""

from datetime import UTC, date, datetime
from email import message_from_bytes, policy

import pytest

from contracts.notifier import ClassNotice, Notice, NoticeKind, OwnDate, StepCount, Template
from notifier.domain.message import Contents
from notifier.letter import Letter, Title, deliverable, written
from notifier.names import Names

DAY = date(2015, 9, 2)
NOW = datetime(2015, 9, 2, 6, 0, tzinfo=UTC)
NAMES = Names({"school-7": "МБОУ «Школа № 7»", "school-8": "Лицей <8>"}, {"c-7a": "7А"})
TITLES = {("", 18): Title("Выдать логины <всем>", "Hand out logins"), ("", 4): Title("Назначить координаторов", "Appoint coordinators")}


def notice(kind: NoticeKind, step: int = 18, due: date | None = None, working_days: int | None = None, day: date = DAY) -> Notice:
    return Notice(kind=kind, step=step, day=day, due=due, working_days=working_days, cause="e-1")


def mail_of(contents: Contents, template: Template = "daily") -> tuple[dict[str, str], str, str]:
    """Headers, plain text and HTML, as a mail program reads them."""
    letter = Letter("m-1", "school-7", template, DAY, contents, TITLES, NAMES)
    mail = written(letter, sender="vekha@example.org", address="director@example.org", at=NOW)
    read = message_from_bytes(mail.as_bytes(), policy=policy.default)
    assert read.get_content_type() == "multipart/alternative"
    plain, html = read.iter_parts()
    assert (plain.get_content_type(), html.get_content_type()) == ("text/plain", "text/html")
    return dict(read.items()), plain.get_content(), html.get_content()


def test_a_letter_goes_to_one_address_in_both_languages_and_says_in_its_subject_what_is_due_and_when() -> None:
    headers, text, html = mail_of(Contents(notices=(notice("deadline-approaching", 18, date(2015, 9, 7), 3),)))
    assert headers["To"] == "director@example.org"
    assert headers["From"] == "vekha@example.org"
    assert headers["Message-ID"] == "<m-1@example.org>"
    assert headers["Subject"] == "Шаг 18: срок 7 сентября 2015 года / Step 18: due on 7 September 2015"
    for shown in (text, html):
        assert "МБОУ «Школа № 7», 2 сентября 2015 года (среда)" in shown
        assert "МБОУ «Школа № 7», Wednesday, 2 September 2015" in shown
        assert "school-7" not in shown
        assert "Срок: 7 сентября 2015 года (понедельник), через 3 рабочих дня." in shown
        assert "It is due on Monday, 7 September 2015: in 3 working days." in shown
    assert "Шаг 18. Выдать логины <всем>" in text
    assert "Шаг 18. Выдать логины &lt;всем&gt;" in html


def test_a_letter_says_that_a_machine_wrote_it_and_to_which_list_it_belongs() -> None:
    headers, _, _ = mail_of(Contents(notices=(notice("step-completed"),)))
    assert headers["Auto-Submitted"] == "auto-generated"
    assert headers["List-Id"] == "Vekha <daily.vekha.example.org>"


@pytest.mark.parametrize(
    ("told", "subject"),
    [
        (notice("deadline-approaching", 4, DAY, 0), "Шаг 4: срок сегодня, 2 сентября 2015 года / Step 4: due today, 2 September 2015"),
        (notice("step-overdue", 4, date(2015, 8, 18), 1), "Шаг 4: срок прошёл 18 августа 2015 года / Step 4: was due on 18 August 2015"),
        (notice("step-completed", 4), "Шаг 4: выполнен / Step 4: completed"),
        (notice("step-reopened", 4), "Шаг 4: снова открыт / Step 4: open again"),
        (notice("completion-corrected", 4), "Шаг 4: исправление / Step 4: a correction"),
    ],
)
def test_the_subject_tells_the_first_notice(told: Notice, subject: str) -> None:
    assert mail_of(Contents(notices=(told,)))[0]["Subject"] == subject


def test_several_notices_are_one_letter_by_headings_and_the_subject_counts_the_other_steps() -> None:
    headers, text, _ = mail_of(
        Contents(
            notices=(
                notice("step-overdue", 4, date(2015, 8, 18), 1),
                notice("deadline-approaching", 18, DAY, 0),
                notice("step-completed", 6, day=date(2015, 9, 1)),
            )
        )
    )
    assert headers["Subject"].startswith("Шаг 4: срок прошёл 18 августа 2015 года и ещё 2 / ")
    russian, _, english = text.partition("МБОУ «Школа № 7», Wednesday")
    assert russian.index("Срок прошёл:") < russian.index("Приближается срок:") < russian.index("Что изменилось:")
    assert "- Шаг 6\n  Выполнен: 1 сентября 2015 года (вторник)." in russian
    assert "- Step 4. Appoint coordinators\n  Not done. It was due on Tuesday, 18 August 2015." in english


@pytest.mark.parametrize(
    ("day", "left", "russian", "english"),
    [
        (date(2015, 10, 26), 5, "через 5 рабочих дней.", "in 5 working days."),
        (date(2015, 10, 30), 1, "завтра.", "tomorrow."),
        (date(2015, 10, 30), 0, "завтра.", "tomorrow."),  # as it was announced once
        (date(2015, 10, 31), 0, "сегодня.", "today."),
    ],
)
def test_today_is_the_date_itself_where_it_is_a_day_off_too(day: date, left: int, russian: str, english: str) -> None:
    saturday = date(2015, 10, 31)
    headers, text, _ = mail_of(Contents(notices=(notice("deadline-approaching", 4, saturday, left, day),)))
    assert f"Срок: 31 октября 2015 года (суббота), {russian}" in text
    assert f"It is due on Saturday, 31 October 2015: {english}" in text
    assert ("сегодня" in headers["Subject"]) == (day == saturday)


def test_a_correction_names_the_day_that_it_is_about() -> None:
    _, text, _ = mail_of(Contents(notices=(notice("completion-corrected", 4, day=date(2015, 8, 31)),)))
    assert "Исправление: 31 августа 2015 года (понедельник) шаг не был выполнен, хотя об этом сообщалось." in text


def test_a_person_is_told_the_own_date() -> None:
    headers, text, _ = mail_of(Contents(own=(OwnDate(step=19, due=date(2015, 9, 7), working_days=3),)))
    assert headers["Subject"] == "Зарегистрируйте аккаунт до 7 сентября 2015 года / register your account by 7 September 2015"
    assert "Ваш срок: 7 сентября 2015 года (понедельник), через 3 рабочих дня." in text


def test_of_people_who_are_late_a_letter_says_how_many_and_where_to_look() -> None:
    late = (
        ClassNotice(step=19, class_id="c-7a", working_days=1, people=21),
        ClassNotice(step=19, class_id="c-closed", working_days=1, people=1),
        ClassNotice(step=19, class_id=None, working_days=5, people=2),
    )
    _, text, _ = mail_of(Contents(classes=late))
    assert "Класс 7А: 21 человек, свой срок прошёл 1 рабочий день назад." in text
    assert "Class 7А: 21 people, 1 working day past their own date." in text
    assert "Класс c-closed: 1 человек," in text
    assert "Сотрудники и те, кто не в классе: 2 человека, свой срок прошёл 5 рабочих дней назад." in text
    assert "The explanation of the step, in the system, shows who they are." in text


def test_a_managers_digest_counts_schools() -> None:
    counts = (
        StepCount(plan="portal", step=4, schools=52, listed=("school-7", "school-8")),
        StepCount(plan="portal", step=6, schools=1, listed=("school-7",)),
    )
    headers, text, html = mail_of(Contents(overdue=counts), "municipality-digest")
    assert headers["Subject"] == "Просрочено в школах: 2 шага / overdue in schools: 2 steps"
    assert headers["List-Id"] == "Vekha <municipality-digest.vekha.example.org>"
    assert "52 школы: МБОУ «Школа № 7», Лицей <8> и ещё 50." in text
    assert "Лицей &lt;8&gt; и ещё 50" in html
    assert "1 school: МБОУ «Школа № 7»." in text


def test_a_managers_digest_tells_the_same_number_apart_in_different_plans() -> None:
    counts = (StepCount(plan="meals", step=10, schools=1, listed=("s2",)), StepCount(plan="portal", step=10, schools=1, listed=("s1",)))
    titles = {("meals", 10): Title("Утвердить меню", "Approve the menu"), ("portal", 10): Title("Внести расписание", "Enter the timetable")}
    letter = Letter("m-1", "", "municipality-digest", DAY, Contents(overdue=counts), titles)
    mail = written(letter, sender="vekha@example.org", address="m@example.org", at=NOW)
    text = mail.get_body(("plain",))
    assert text is not None
    russian, _, english = text.get_content().partition("Digest")
    assert "Срок прошёл (план meals):\n- Шаг 10. Утвердить меню\n  1 школа: s2.\n" in russian
    assert "Срок прошёл (план portal):\n- Шаг 10. Внести расписание\n  1 школа: s1.\n" in russian
    assert "Overdue (plan meals):\n- Step 10. Approve the menu\n" in english


def test_the_text_goes_over_the_wire_in_ascii_lines_that_every_server_takes() -> None:
    many = tuple(notice("step-overdue", step, date(2015, 9, 1), 1) for step in range(1, 22))
    letter = Letter("m-1", "school-7", "daily", DAY, Contents(notices=many), TITLES)
    raw = written(letter, sender="vekha@example.org", address="director@example.org", at=NOW).as_bytes()
    assert raw.isascii()
    assert max(len(line) for line in raw.splitlines()) < 998


@pytest.mark.parametrize("address", ["", "директор@школа.рф", "a@b, c@d", "a b@c", "<a@b>", "a@b\r\nBcc: c@d", "nobody", "a@b@c"])
def test_what_is_no_single_address_is_never_written_to(address: str) -> None:
    assert not deliverable(address)


def test_an_ordinary_address_can_be_written_to() -> None:
    assert deliverable("o.smirnova+school@mail.example.org")
