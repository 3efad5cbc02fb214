"""How a command fails: a code for machines, a text for people, and the exit code that scripts branch on."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from eventkit.broker import BrokerError
from eventkit.calls import CallFailed
from eventkit.decider import Refused
from eventkit.environment import SettingInvalid
from eventkit.jetstream import BusError, BusUnavailable
from eventkit.secrets import SecretMissing


class Exit(IntEnum):
    """The exit codes of `vekha`: scripts are written against them."""

    OK = 0
    FAILED = 1  # refused, or failed
    USAGE = 2  # no such command, call or option
    INVALID = 3  # what was handed in cannot be read
    UNVERIFIED = 4  # the record does not verify
    UNREACHABLE = 5  # nobody answers, or the outcome is not known


class Failure(Exception):
    """The end of a command that did not do what was asked."""

    def __init__(
        self,
        code: str,
        text: str,
        hint: str | None = None,
        *,
        exit_code: Exit = Exit.FAILED,
        command_id: str | None = None,
        incident: str | None = None,
    ) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text
        self.hint = hint
        self.exit_code = exit_code
        self.command_id = command_id
        self.incident = incident

    def as_json(self) -> dict[str, Any]:
        fields = {"code": self.code, "text": self.text, "hint": self.hint, "command_id": self.command_id, "incident": self.incident}
        return {"error": fields}


_EXIT_BY_KIND = {"invalid": Exit.INVALID, "unreachable": Exit.UNREACHABLE, "unknown": Exit.UNREACHABLE}


def failure_of(error: Exception, command_id: str | None = None) -> Failure | None:
    """The failure that an error amounts to; None for one that nobody foresaw."""
    match error:
        case Failure():
            return error
        case Refused():
            exit_code = Exit.USAGE if error.code == "call.unknown" else Exit.FAILED
            return Failure(error.code, error.text, error.hint, exit_code=exit_code, command_id=command_id)
        case CallFailed():
            return Failure(
                error.code,
                error.text,
                error.hint,
                exit_code=_EXIT_BY_KIND.get(error.kind, Exit.FAILED),
                command_id=error.command_id or command_id,
                incident=error.incident,
            )
        case BusUnavailable():
            return Failure(error.code, str(error), exit_code=Exit.UNREACHABLE)
        case BrokerError() | BusError():
            return Failure(error.code, str(error))
        case SettingInvalid():
            return Failure(error.code, str(error))
        case SecretMissing():
            return Failure("secret.missing", str(error))
        case _:
            return None
