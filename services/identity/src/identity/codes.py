"""One-time codes and logins: made for paper, and understood however people type them (DOMAIN 5).

A code is 12 symbols of an alphabet of 16, in groups of 4: 48 bits, printed as `DFGJ-LNRV-W234`. A login is nine digits
and a check digit, so that a mistyped one is never somebody else's.
"""

from __future__ import annotations

import hmac
import secrets as randomness
import unicodedata

from eventkit.secrets import Secrets

ALPHABET = "DFGJLNRVW2345789"
"""No symbol looks like another one, and no letter looks like a Cyrillic one."""

_GROUP = 4
_CODE_BYTES = 6  # 12 symbols of 4 bits each
_LOGIN_DIGITS = 10

# What a Russian keyboard writes where these letters are; and two letters that are taken for digits, whose keys write no symbol of ours.
_TYPED = str.maketrans("ВАПОДТКМЦЗЧ", "DFGJLNRVW34")
_TYPED_DIGITS = str.maketrans("ОOЗЧ", "0034")

# Damm's quasigroup of order 10: it finds every wrong digit and every swap of neighbours.
_DAMM = (
    "0317598642",
    "7092154863",
    "4206871359",
    "1750983426",
    "6123045978",
    "3674209581",
    "5869720134",
    "8945362017",
    "9438617205",
    "2581436790",
)


def new_code() -> str:
    """A code as it is printed."""
    symbols = "".join(ALPHABET[byte >> 4] + ALPHABET[byte & 15] for byte in randomness.token_bytes(_CODE_BYTES))
    return "-".join(symbols[start : start + _GROUP] for start in range(0, len(symbols), _GROUP))


def meant_code(typed: str) -> str:
    """The symbols of a code however it was typed: any case, any dashes and spaces, on a Russian keyboard, З for 3."""
    return bare(typed).translate(_TYPED)


def new_login() -> str:
    """A login. It never begins with 0: spreadsheets would drop that."""
    digits = str(10 ** (_LOGIN_DIGITS - 2) + randomness.randbelow(9 * 10 ** (_LOGIN_DIGITS - 2)))
    return digits + _check_digit(digits)


def meant_login(typed: str) -> str | None:
    """The login that was meant, None where it cannot be one."""
    digits = bare(typed).translate(_TYPED_DIGITS)
    well_formed = len(digits) == _LOGIN_DIGITS and digits.isascii() and digits.isdecimal()
    return digits if well_formed and _check_digit(digits) == "0" else None


def digest(secrets: Secrets, credential: str, code: str) -> str:
    """The keyed digest as which a code is kept, bound to its credential."""
    return secrets.mac("credential", f"{credential}:{meant_code(code)}".encode())


def same(one: str, other: str) -> bool:
    """Whether two digests are equal, in a time that does not tell where they differ."""
    return hmac.compare_digest(one, other)


def bare(typed: str) -> str:
    """Capitals and digits alone: neither spaces nor anything that stands between groups."""
    return "".join(symbol for symbol in unicodedata.normalize("NFKC", typed).upper() if symbol.isalnum())


def _check_digit(digits: str) -> str:
    interim = 0
    for digit in digits:
        interim = int(_DAMM[interim][int(digit)])
    return str(interim)
