"""Codes and logins are understood however people type them, and nothing else is taken for one."""

import re
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventkit.secrets import Secrets
from identity import codes

LATIN_KEYS = "QWERTYUIOPASDFGHJKLZXCVBNM"
RUSSIAN_KEYS = "ЙЦУКЕНГШЩЗФЫВАПРОЛДЯЧСМИТЬ"
ON_A_RUSSIAN_KEYBOARD = str.maketrans(LATIN_KEYS, RUSSIAN_KEYS)
DASHES = ["-", "–", "—", "‑", " ", "\u00a0", ".", "_", "  "]

symbols = st.text(codes.ALPHABET, min_size=12, max_size=12)


@st.composite
def typed_by_people(draw: st.DrawFn, code: str) -> str:
    """A code in any case and on either keyboard, with anything between its symbols."""
    written = ""
    for symbol in code:
        variants = [symbol, symbol.lower(), symbol.translate(ON_A_RUSSIAN_KEYBOARD), symbol.translate(ON_A_RUSSIAN_KEYBOARD).lower()]
        if symbol == "3":
            variants += ["З", "з"]
        written += draw(st.sampled_from(variants)) + draw(st.sampled_from(["", *DASHES]))
    return written


def test_a_code_is_three_groups_of_four_unmistakable_symbols():
    assert all(re.fullmatch(r"([DFGJLNRVW2345789]{4}-){2}[DFGJLNRVW2345789]{4}", codes.new_code()) for _ in range(200))


def test_codes_use_the_whole_alphabet_and_do_not_repeat():
    made = [codes.new_code() for _ in range(500)]
    assert set("".join(made)) == {*codes.ALPHABET, "-"}
    assert len(set(made)) == len(made)


@given(st.data())
def test_a_code_is_understood_however_it_is_typed(data: st.DataObject):
    code = data.draw(symbols)
    assert codes.meant_code(data.draw(typed_by_people(code))) == code


@given(st.text(string.ascii_letters + string.digits + RUSSIAN_KEYS + RUSSIAN_KEYS.lower() + "".join(DASHES)))
def test_understanding_what_was_understood_changes_nothing(typed: str):
    assert codes.meant_code(codes.meant_code(typed)) == codes.meant_code(typed)


@given(symbols, symbols)
def test_different_codes_stay_different(one: str, other: str):
    assert (codes.meant_code(one) == codes.meant_code(other)) == (one == other)


@given(st.text())
def test_whatever_is_typed_can_be_compared(typed: str):
    assert isinstance(codes.meant_code(typed), str)
    assert codes.meant_login(typed) is None or len(codes.meant_login(typed) or "") == 10


def test_a_login_has_ten_digits_and_does_not_begin_with_zero():
    assert all(re.fullmatch(r"[1-9][0-9]{9}", codes.new_login()) for _ in range(200))


logins = st.builds(codes.new_login)


@given(logins, st.sampled_from(DASHES))
def test_a_login_is_understood_with_anything_between_its_digits(login: str, dash: str):
    assert codes.meant_login(dash.join(login)) == login


def test_a_letter_that_is_taken_for_a_digit_in_a_login_is_one():
    login = next(login for login in iter(codes.new_login, "") if "0" in login and "3" in login)
    assert codes.meant_login(login.replace("0", "О").replace("3", "з")) == login


@given(logins, st.integers(0, 9), st.integers(1, 9))
def test_one_wrong_digit_is_nobodys_login(login: str, place: int, difference: int):
    wrong = str((int(login[place]) + difference) % 10)
    assert codes.meant_login(login[:place] + wrong + login[place + 1 :]) is None


@given(logins, st.integers(0, 8))
def test_two_neighbouring_digits_swapped_are_nobodys_login(login: str, place: int):
    swapped = login[:place] + login[place + 1] + login[place] + login[place + 2 :]
    assert codes.meant_login(swapped) == (login if swapped == login else None)


@pytest.mark.parametrize("typed", ["", "12345", "12345678901234", "абвгдежзик", "١٢٣٤٥٦٧٨٩٠"])
def test_what_cannot_be_a_login_is_none(typed: str):
    assert codes.meant_login(typed) is None


def test_a_digest_belongs_to_one_code_of_one_credential(tmp_path: Path):
    secrets = Secrets.make(tmp_path / "secrets")
    digest = codes.digest(secrets, "k-1", "DFGJ-LNRV-W234")
    assert codes.same(digest, codes.digest(secrets, "k-1", "вапо дткм ц2з4"))
    assert not codes.same(digest, codes.digest(secrets, "k-2", "DFGJ-LNRV-W234"))
    assert not codes.same(digest, codes.digest(secrets, "k-1", "DFGJ-LNRV-W235"))
    assert "DFGJ" not in digest
