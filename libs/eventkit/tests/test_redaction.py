"""What a log line may say: keys that are known, each in its form; of anything else the type alone."""

import importlib
import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from eventkit import telemetry
from eventkit.redaction import KEYS, allowed

NAME = "Иванов Пётр"

keys = st.sampled_from(sorted(KEYS)) | st.text()
texts = st.text().filter(lambda text: any(sign.isspace() or sign == "@" or ord(sign) > 127 for sign in text) and ".py:" not in text)


@given(keys, texts)
def test_no_text_of_people_passes_under_any_key(key: str, text: str) -> None:
    assert text not in allowed({key: text}).values() or text == "<str>"
    assert allowed({key: [text]}) in ({key: ["<str>"]}, {key: "<list>"}, {"unnamed": ["<str>"]})


@given(st.text().filter(lambda key: key not in KEYS), st.text() | st.integers() | st.dates() | st.binary())
def test_of_what_stands_under_an_unknown_key_the_type_alone_is_told(key: str, value: object) -> None:
    assert list(allowed({key: value}).values()) == [f"<{type(value).__name__}>"]


def test_what_is_known_passes_in_its_own_form() -> None:
    said = {
        "event": "call.failed",
        "call": "roster.open-school",
        "actor": "director:school-7",
        "code": "school.unknown",
        "position": 7,
        "day": "2015-08-17",
        "error": "KeyError",
        "at": ["store.py:17 append", "vault.py:3 <lambda>"],
        "status": 451,
    }
    assert allowed(said) == said


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("event", f"hired {NAME}", "<str>"),
        ("school", "Школа № 7", "<str>"),
        ("reason", "he is ill", "<str>"),
        ("message", "ivanov@example.org", "<str>"),
        ("why", "+79161234567", "<str>"),
        ("school", 79161234567, "<int>"),
        ("position", "7", "<str>"),
        ("code", SecretStr("DFGJ-LNRV-W234"), "<SecretStr>"),
        ("code", "DFGJ-LNRV-W234", "<str>"),
        ("error", KeyError(NAME), "<KeyError>"),
        ("at", {"place": NAME}, "<dict>"),
        ("at", [f"x.py:7 {NAME}"], ["<str>"]),
    ],
)
def test_in_another_form_than_its_own_nothing_passes(key: str, value: object, told: object) -> None:
    assert allowed({key: value}) == {key: told}


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Iterator[pytest.CaptureFixture[str]]:
    telemetry.set_up()
    yield capsys
    structlog.reset_defaults()


def test_a_log_line_is_held_against_the_list_and_an_exception_loses_its_text(told: pytest.CaptureFixture[str]) -> None:
    try:
        raise ValueError(NAME)
    except ValueError:
        structlog.get_logger("test").warning("person.odd", name=NAME, exc_info=True)
    line = json.loads(told.readouterr().err)
    assert (line["event"], line["name"], line["error"]) == ("person.odd", "<str>", "ValueError")
    assert line["at"][0].startswith("test_redaction.py:")


@pytest.mark.parametrize("library", ["nats.aio.client", "sqlalchemy.engine", "asyncio", "faststream", "aiosmtplib"])
def test_a_library_is_told_to_have_spoken_and_where_without_its_words(told: pytest.CaptureFixture[str], library: str) -> None:
    importlib.import_module("eventkit.bus")  # FastStream's own handler is taken away there

    try:
        raise ValueError(NAME)
    except ValueError:
        logging.getLogger(library).exception("%s cannot be taken in", NAME)
    captured = told.readouterr()
    (line,) = [json.loads(text) for text in captured.err.splitlines()]
    assert captured.out == ""
    assert (line["event"], line["logger"], line["error"]) == ("library.spoke", library, "ValueError")
    assert "Иванов" not in captured.err
