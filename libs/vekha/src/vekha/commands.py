"""Which commands `vekha` has, and what becomes of an error."""

from __future__ import annotations

import importlib
import io
import logging
import sys
from collections.abc import Sequence

import click
import structlog

from eventkit import telemetry
from vekha import output
from vekha.failures import Exit, Failure, failure_of

_COMMANDS = {
    "up": "vekha.up:up",
    "demo": "vekha.demo:demo",
    "call": "vekha.calling:call",
    "import": "vekha.importing:import_roster",
    "export": "vekha.exporting:export_roster",
    "consent": "vekha.consents:consent",
    "slips": "vekha.slips:slips",
    "handover": "vekha.handover:handover",
    "reissue": "vekha.reissue:reissue",
    "links": "vekha.links:links",
    "dossier": "vekha.dossier:dossier",
    "journal": "vekha.dossier:journal",
    "erasure": "vekha.erasure:erasure",
    "plan": "vekha.plan:plan",
    "clock": "vekha.clock:clock",
    "keys": "vekha.keys:keys",
    "events": "vekha.events:events",
    "parked": "vekha.parked:parked",
    "projections": "vekha.projections:projections",
    "audit": "vekha.audit:audit",
    "doctor": "vekha.doctor:doctor",
    "backup": "vekha.backup:backup",
    "restore": "vekha.restore:restore",
    "drill": "vekha.drill:drill",
    "deploy": "vekha.deploy:deploy",
}

_INTERRUPTED = 130

_log = structlog.get_logger(__name__)


class _Commands(click.Group):
    """Imports a command's module when somebody asks for that command: none has to wait for what another needs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name].partition(":")
        return getattr(importlib.import_module(module), name)


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
def commands() -> None:
    """Drives and proves how schools adopt the unified information system.

    Data go to stdout, progress and logs to stderr. Exit codes: 0 ok, 1 refused or failed, 2 usage, 3 invalid input, 4 the record does not
    verify, 5 unreachable or outcome unknown.
    """


def run(arguments: Sequence[str]) -> int:
    """Runs a command line; returns the exit code."""
    as_json = "--json" in arguments
    stdout: object = sys.stdout
    if isinstance(stdout, io.TextIOWrapper):
        stdout.reconfigure(errors="backslashreplace")  # a file's name need not be text, and an answer that names it is one all the same
    telemetry.set_up(level=logging.ERROR)
    try:
        outcome = commands.main(list(arguments), prog_name="vekha", standalone_mode=False)
        sys.stdout.flush()
        return outcome if isinstance(outcome, int) else Exit.OK
    except click.ClickException as error:
        return _usage(error, as_json=as_json)
    except (click.Abort, KeyboardInterrupt):
        return _INTERRUPTED
    except SystemExit:
        # click's way to end when who read our output has gone, as in `vekha events | head`.
        return Exit.OK
    except ModuleNotFoundError:
        raise  # whoever has started this says what is missing
    except Exception as error:  # noqa: BLE001 -- whatever it was, it ends in a code and a text
        failure = failure_of(error)
        if failure is None:
            _log.error("vekha.failed", **telemetry.trouble(error))
            failure = Failure("vekha.failed", f"An unexpected {type(error).__name__}. The line above says where.")
        output.print_failure(failure, as_json=as_json)
        return failure.exit_code


def _usage(error: click.ClickException, *, as_json: bool) -> int:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        output.remark(error.format_message())
        return Exit.USAGE
    context = error.ctx if isinstance(error, click.UsageError) else None
    hint = f"`{context.command_path} --help` tells more." if context else None
    output.print_failure(Failure("usage.invalid", error.format_message(), hint), as_json=as_json)
    return Exit.USAGE
