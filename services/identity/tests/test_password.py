"""What may be chosen as a password."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventkit.decider import Refused
from identity.domain.password import MOST, check_password, meant_password


def refusal(password: str, *unlike: str) -> str | None:
    try:
        check_password(meant_password(password), unlike=unlike)
    except Refused as refused:
        return refused.code
    return None


@pytest.mark.parametrize(
    "password", ["correct horse battery", "Ёжик в тумане", "мама мыла раму", "тырнауз-2015", "ꙮꙮꙮ многоочитый", "x" + "яё5 " * 30]
)
def test_words_of_any_script_are_a_password(password: str) -> None:
    assert refusal(password) is None


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("", "password.too-short"),
        ("короткий9", "password.too-short"),
        ("е\u0308" * 9, "password.too-short"),  # eighteen as typed, nine letters
        ("я" * (MOST + 1), "password.too-long"),
        ("Пароль12345", "password.too-common"),
        ("qwertyuiop", "password.too-common"),
        ("ааааааааааа", "password.too-common"),
        ("1212121212", "password.too-common"),
    ],
)
def test_what_is_short_or_tried_first_is_no_password(password: str, code: str) -> None:
    assert refusal(password) == code


def test_neither_the_login_nor_the_code_of_the_slip_is_a_password_however_it_is_written() -> None:
    assert refusal("1234-567 8903", "1234567890", "DFGJ-LNRV-W234") is None
    assert refusal("123456 7890", "1234567890") == "password.like-login"
    assert refusal("dfgjlnrvw234", "1234567890", "DFGJ-LNRV-W234") == "password.like-login"


@given(st.text(max_size=200))
def test_a_password_is_the_same_however_often_it_is_composed(typed: str) -> None:
    assert meant_password(meant_password(typed)) == meant_password(typed)
