"""What may be a password that a person chooses: long rather than intricate, in any script, and not one that everybody tries
(NIST SP 800-63B, 3.1.1.2)."""

from __future__ import annotations

import unicodedata

from eventkit.decider import Refused

LEAST, MOST = 10, 128
"""Symbols, once letters and their accents are composed."""

_LEAST_DIFFERENT = 4

_FIRST_TRIED = """
0123456789 0987654321 1029384756 1111122222 1122334455 123123123123 1234512345 123454321a 1234567890 12345678900 12345678910 1234567891
123456789a 123456789q 123456789z 123456qwerty 123qwe123qwe 147258369a 1q2w3e4r5t 1q2w3e4r5t6y 1qaz2wsx3edc 987654321a a123456789
abc1234567 abcdefghij administrator alexander1 asdfghjkl1 dragon12345 football123 iloveyou12 iloveyou123 letmein123 marina12345
natasha123 nikita12345 passw0rd123 password10 password12 password123 password1234 princess123 q1w2e3r4t5 q1w2e3r4t5y6 qazwsxedcrfv
qwerty1234 qwerty12345 qwerty123456 qwertyqwerty qwertyuiop qwertyuiop123 qweasdzxc123 samsung123 spartak1922 superman123 welcome123
zaq12wsxcde zxcvbnm123 zxcvbnm12345
администратор александр1 йцукен1234 йцукен12345 йцукен123456 йцукенгшщз йцукенгшщзх любовь12345 москва12345 пароль1234 пароль12345
пароль123456 россия12345 спартак1922 фывапролдж школьник123
"""
_COMMON = frozenset(_FIRST_TRIED.split())


def meant_password(typed: str) -> str:
    """A password as it is hashed: the same whichever way a keyboard composes its letters."""
    return unicodedata.normalize("NFC", typed)


def check_password(password: str, *, unlike: tuple[str, ...] = ()) -> None:
    """Raises Refused where this is no password to choose; it is none that says the same as one of `unlike`, login or code. `password` is
    a `meant_password`."""
    if len(password) < LEAST:
        raise Refused("password.too-short", f"A password has at least {LEAST} symbols. Several words are easy to remember.")
    if len(password) > MOST:
        raise Refused("password.too-long", f"A password has at most {MOST} symbols.")
    if _bare(password) in {_bare(one) for one in unlike}:
        raise Refused("password.like-login", "A password is neither the login nor the code on the slip. Choose one that only you know.")
    if password.casefold() in _COMMON or len(set(password.casefold())) < _LEAST_DIFFERENT:
        raise Refused("password.too-common", "This password is among the first that others would try. Choose another one.")


def _bare(text: str) -> str:
    return "".join(symbol for symbol in text.casefold() if symbol.isalnum())
