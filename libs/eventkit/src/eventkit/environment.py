"""What an installation chooses by environment variables: the same ones for all services in one process and for a service apart.

A password never stands in one: they name files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LEFT_TERM_DAYS = 30
"""How long the data of who has left are kept: 152-ФЗ ст. 21 ч. 4, unless another law or a contract says how long."""

VARIABLES: Mapping[str, str] = {
    "VEKHA_PRODUCTION": "1 refuses manual clocks, acting in somebody else's role, and activating an account without a password of the own",
    "VEKHA_ACTIVATION_PAGE": "https address where accounts are activated, for slips and links; unset, an example, and none in production",
    "VEKHA_CO_SIGNATURE_AGE": "14 to 17: from this age on pupils sign their consent beside a representative; unset, nobody has to",
    "VEKHA_LEFT_TERM_DAYS": f"for so many days the data of who has left are kept; unset, {LEFT_TERM_DAYS} (152-ФЗ ст. 21 ч. 4)",
    "VEKHA_SMTP_URL": "smtp://[user@]host[:port] of the mail server, its password in the secrets' smtp.password; unset, nothing is sent",
    "VEKHA_MAIL_FROM": "the address that mail is sent from",
    "VEKHA_MONITORS": "a file with addresses, a line each: `ministry ADDRESS`, `municipality:CODE ADDRESS`",
    "VEKHA_ESIA_ISSUER": "ЕСИА by OpenID Connect, all four or none: the provider's address",
    "VEKHA_ESIA_CLIENT_ID": "as whom ЕСИА knows this installation",
    "VEKHA_ESIA_CLIENT_SECRET_FILE": "the file with the client's secret",
    "VEKHA_ESIA_REDIRECT_URI": "the address to which ЕСИА sends people back",
}
"""What may be chosen, by the variable's name; docs/settings.md and `vekha up --help` tell the same."""

_LONGEST_TERM_DAYS = 36_525  # a hundred years


@dataclass(frozen=True)
class SignOn:
    """A provider of OpenID Connect that says who somebody is, and as whom it knows us. The client's secret stands in a file."""

    issuer: str
    client_id: str
    client_secret_file: Path
    redirect_uri: str


class SettingInvalid(Exception):
    """A variable's value is none; `code` is for machines, the text says what to set."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


def chosen(environment: Mapping[str, str]) -> dict[str, Any]:
    """The settings of `service.Settings` that have no other source. Raises SettingInvalid."""
    return {
        "production": environment.get("VEKHA_PRODUCTION", "") == "1",
        "smtp_url": environment.get("VEKHA_SMTP_URL") or None,
        "mail_from": environment.get("VEKHA_MAIL_FROM") or None,
        "monitors_file": environment.get("VEKHA_MONITORS") or None,
        "activation_page": environment.get("VEKHA_ACTIVATION_PAGE") or None,
        "co_signature_age": _co_signature_age(environment),
        "esia": _esia(environment),
        "left_term_days": _left_term_days(environment),
    }


def required(environment: Mapping[str, str], name: str) -> str:
    """Raises SettingInvalid `settings.missing`."""
    if not (value := environment.get(name)):
        raise SettingInvalid("settings.missing", f"Set {name}.")
    return value


def _co_signature_age(environment: Mapping[str, str]) -> int | None:
    """From which age on pupils sign their consent beside a representative: 14 to 17, or nobody has to."""
    given = environment.get("VEKHA_CO_SIGNATURE_AGE") or None
    if given is None:
        return None
    if given not in ("14", "15", "16", "17"):
        raise SettingInvalid("settings.invalid", "VEKHA_CO_SIGNATURE_AGE is an age from 14 to 17; unset, no pupil has to sign.")
    return int(given)


def _esia(environment: Mapping[str, str]) -> SignOn | None:
    """The state's single sign-on as four variables name it, None where none does."""
    given = {name: environment.get(f"VEKHA_ESIA_{name}") for name in ("ISSUER", "CLIENT_ID", "CLIENT_SECRET_FILE", "REDIRECT_URI")}
    if not any(given.values()):
        return None
    if missing := [f"VEKHA_ESIA_{name}" for name, value in given.items() if not value]:
        text = f"ЕСИА is set up by four variables. Set {', '.join(missing)} too, or none of them."
        raise SettingInvalid("esia.settings-incomplete", text)
    issuer, client_id, secret_file, redirect_uri = (value or "" for value in given.values())
    return SignOn(issuer, client_id, Path(secret_file), redirect_uri)


def _left_term_days(environment: Mapping[str, str]) -> int:
    """After how many days whoever has left is forgotten."""
    given = environment.get("VEKHA_LEFT_TERM_DAYS") or str(LEFT_TERM_DAYS)
    if not given.isascii() or not given.isdecimal() or not 0 < int(given) <= _LONGEST_TERM_DAYS:
        text = f"VEKHA_LEFT_TERM_DAYS is {given!r}: give a number of days from 1 to {_LONGEST_TERM_DAYS}."
        raise SettingInvalid("term.invalid", text)
    return int(given)
