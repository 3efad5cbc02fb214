"""`vekha call`: any internal call from the command line, and the list of all of them."""

from __future__ import annotations

import json
import re
import sys
from typing import Any

import click
import msgspec

from contracts.call import CALLS, WIDEST, Call
from vekha import output
from vekha.client import Target, connected
from vekha.failures import Exit, Failure
from vekha.loop import run
from vekha.options import as_option, json_option, target_options


def _command_id(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    # It stands in the event for ever, so it must be nothing that somebody would want to have erased.
    if value is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", value):
        raise click.BadParameter("at most 64 Latin letters, digits, '.', '_' and '-'")
    return value


@click.command()
@click.argument("name", required=False)
@click.argument("body", metavar="[JSON|-]", default="{}")
@click.option("--list", "listing", is_flag=True, help="Show every call, or the one named, with its JSON Schemas and who may make it.")
@click.option("--command-id", metavar="ID", callback=_command_id, help="Repeat a command: with the same id it is carried out once.")
@as_option
@target_options
@json_option
def call(target: Target, name: str | None, body: str, listing: bool, command_id: str | None, acting_as: str | None, as_json: bool) -> None:
    """Make an internal call, e.g. vekha call roster.school '{"school": "school-7"}'.

    With - the JSON is read from stdin: so must be what is secret, since a command line is seen by everybody on the machine.
    """
    if listing:
        _list([_declared(name)] if name else list(CALLS.values()), as_json=as_json)
        return
    if name is None:
        raise click.UsageError("Which call? `vekha call --list` shows them all.")
    declared, text = _declared(name), _json_text(body)
    if body != "-" and (shown := _shown_secrets(declared, text)):
        output.remark(
            f"The command line shows {', '.join(shown)} to everybody on this machine, and the shell remembers it. "
            f"Pipe it in: vekha call {name} - < FILE"
        )
    run(_call(target, declared, text, command_id, acting_as, as_json=as_json))


async def _call(
    target: Target, declared: Call[Any, Any], body: bytes, command_id: str | None, acting_as: str | None, *, as_json: bool
) -> None:
    try:
        async with connected(target) as client:
            answer = await client.ask_raw(declared, body, as_=acting_as, command_id=command_id, up_to_date=True)
    except Failure as failure:
        failure.command_id = failure.command_id or command_id  # whoever gave one will repeat it, however it failed
        raise
    if as_json:
        output.print_json({"reply": answer.reply, "at": answer.at or {}, "command_id": answer.command_id})
        return
    click.echo(json.dumps(json.loads(bytes(answer.reply)), ensure_ascii=False, indent=2))
    at = ", ".join(f"{service} {position}" for service, position in (answer.at or {}).items())
    output.remark(f"{f'command {answer.command_id}, ' if answer.command_id else ''}at {at or 'no position'}")


def _declared(name: str) -> Call[Any, Any]:
    if name not in CALLS:
        raise Failure("call.unknown", f"There is no call {name}.", "`vekha call --list` shows them all.", exit_code=Exit.USAGE)
    return CALLS[name]


def _json_text(body: str) -> bytes:
    """The bytes of a JSON object, as they were typed or piped."""
    text = sys.stdin.buffer.read() if body == "-" else body.encode("utf-8", "surrogateescape")
    try:
        msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise Failure("body.malformed", "This is no JSON object.", 'Quote it: \'{"school": "school-7"}\'', exit_code=Exit.INVALID) from None
    return text


def _shown_secrets(declared: Call[Any, Any], body: bytes) -> list[str]:
    """Which fields of the body open something: those that are marked as secret, and the codes of identity's calls."""
    from eventkit.answering import secret_fields

    codes: set[str] = {"code", "link", "state"} if declared.service == "identity" else set()
    secret = {*secret_fields(declared.request), *codes}
    return sorted(secret & msgspec.json.decode(body, type=dict[str, msgspec.Raw]).keys())


def _list(calls: list[Call[Any, Any]], *, as_json: bool) -> None:
    if as_json:
        output.print_json({"calls": [_shown(declared) for declared in calls]})
        return
    for declared in calls:
        entry = _shown(declared)
        click.secho(declared.name, bold=True, nl=False)
        click.echo(f"  {declared.summary} ({'command' if declared.command else 'query'})")
        click.echo(f"  who    {', '.join(entry['allowed'])}")
        for role, scope in entry["scopes"].items():
            if scope is not WIDEST[role]:
                click.echo(f"         {role}: {scope}")
        if entry["services"]:
            click.echo(f"         service: {', '.join(entry['services'])} alone")
        click.echo(f"  asks   {json.dumps(entry['request'], ensure_ascii=False)}")
        click.echo(f"  tells  {json.dumps(entry['reply'], ensure_ascii=False)}\n")


def _shown(declared: Call[Any, Any]) -> dict[str, Any]:
    return {
        "name": declared.name,
        "summary": declared.summary,
        "command": declared.command,
        "allowed": sorted(declared.allowed),
        "services": sorted(declared.services),
        "scopes": {role: declared.scopes[role] for role in sorted(declared.allowed)},
        "request": declared.request.model_json_schema(),
        "reply": declared.reply.model_json_schema(mode="serialization"),
    }
