"""Whether the contracts still hold what was released: `python -m contracts.compatibility` says yes, or why not.

What is released stands in `released.json`: every event and every call, with the JSON Schemas of their fields. An event's type is a storage
format, so a released one never changes. A call may come to take more and to tell more; it may not ask for what nobody sends yet, nor keep
back what somebody reads. Who may make a call does not change: whoever relies on it, or relies on nobody else doing it, is not asked.
`--release` freezes the contracts as they are, and refuses to where they break what was released.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from contracts import CALLS, EVENTS
from contracts.call import Call, Role
from contracts.event import newest_name

RELEASED = Path(__file__).parents[2] / "released.json"

Schema = Mapping[str, Any]
Contracts = Mapping[str, Any]

_TOLD = ("description", "title", "default", "examples")
"""What a schema says to people, or to whoever leaves a field out: it admits neither more nor less."""


def described() -> Contracts:
    """All contracts of this program as plain values, in order."""
    return {
        "events": {
            name: {"schema": _flat(event.model_json_schema()), "newest": newest_name(name)} for name, event in sorted(EVENTS.items())
        },
        "calls": {
            name: {
                "request": _flat(call.request.model_json_schema()),
                "reply": _flat(call.reply.model_json_schema(mode="serialization")),
                "who": _who(call),
                "command": call.command,
            }
            for name, call in sorted(CALLS.items())
        },
    }


def _who(call: Call[Any, Any]) -> dict[str, str]:
    """How far whoever may make a call reaches, each service by its name."""
    people = {role.value: scope.value for role, scope in sorted(call.scopes.items()) if role is not Role.SERVICE}
    return people | {f"service {name}": call.scopes[Role.SERVICE].value for name in sorted(call.services)}


def broken(old: Contracts, new: Contracts) -> Iterator[str]:
    """Where the new contracts do not hold what the old ones promise, a line each."""
    for name, event in old["events"].items():
        if name not in new["events"]:
            yield f"event {name} was removed: what was recorded of it must load for ever"
        else:
            now = new["events"][name]
            yield from _changed(event["schema"], now["schema"], f"event {name}", taken=True, told=True)
            if _number(now["newest"]) < _number(event["newest"]):
                yield f"event {name} is no longer read as {event['newest']}"
    for name, call in old["calls"].items():
        if name not in new["calls"]:
            yield f"call {name} was removed"
            continue
        now = new["calls"][name]
        yield from _changed(call["request"], now["request"], f"call {name}, request", taken=True, told=False)
        yield from _changed(call["reply"], now["reply"], f"call {name}, reply", taken=False, told=True)
        for role in sorted({*call["who"], *now["who"]}):
            before, after = call["who"].get(role, "nothing"), now["who"].get(role, "nothing")
            if before != after:
                yield f"call {name}: {role} may reach {after} instead of {before}"
        if call["command"] != now["command"]:
            yield f"call {name} {'is no command any more' if call['command'] else 'became a command'}"


def _changed(old: Schema, new: Schema, path: str, *, taken: bool, told: bool) -> Iterator[str]:
    """What a schema refuses or tells otherwise than before. `taken`: somebody sends, or has stored, what the old one admits. `told`:
    somebody reads what it promises."""
    before, after = _alternatives(old), _alternatives(new)
    if len(before) > 1 or len(after) > 1:
        kinds = {_kind(one): one for one in before}, {_kind(one): one for one in after}
        for kind, one in kinds[0].items():
            if kind in kinds[1]:
                yield from _changed(one, kinds[1][kind], path, taken=taken, told=told)
            elif taken:
                yield f"{path} does not take {kind} any more"
        for kind in kinds[1].keys() - kinds[0].keys():
            if told:
                yield f"{path} may be {kind} now"
        return
    if _kind(old) != _kind(new):
        yield f"{path} is {_kind(new)} instead of {_kind(old)}"
        return
    if "enum" in old or "const" in old:
        values, now = _values(old), _values(new)
        if taken and (gone := sorted(values - now)):
            yield f"{path} does not take {', '.join(gone)} any more"
        if told and not taken and (more := sorted(now - values)):
            yield f"{path} may be {', '.join(more)} now"
        return
    match old.get("type"):
        case "object":
            yield from _changed_object(old, new, path, taken=taken, told=told)
        case "array":
            if isinstance(old.get("items"), dict) and isinstance(new.get("items"), dict):
                yield from _changed(old["items"], new["items"], f"{path}[]", taken=taken, told=told)
            if _bare(old, "items") != _bare(new, "items"):
                yield f"{path} is bounded otherwise"
        case _:
            if _bare(old) != _bare(new):
                yield f"{path} is bounded otherwise: {json.dumps(_bare(new), ensure_ascii=False)}"


def _changed_object(old: Schema, new: Schema, path: str, *, taken: bool, told: bool) -> Iterator[str]:
    fields, now = old.get("properties", {}), new.get("properties", {})
    for name, field in fields.items():
        if name not in now:
            yield f"{path}.{name} was removed or renamed"
        else:
            yield from _changed(field, now[name], f"{path}.{name}", taken=taken, told=told)
    required, needed = set(old.get("required", ())), set(new.get("required", ()))
    if taken:
        for name in sorted(needed - required):
            yield f"{path}.{name} is required now"
    if told:
        for name in sorted((required - needed) & set(now)):
            yield f"{path}.{name} may be missing now"
    if _bare(old, "properties", "required") != _bare(new, "properties", "required"):
        yield f"{path} takes other names than before"


def _alternatives(schema: Schema) -> list[Schema]:
    return list(schema.get("anyOf") or schema.get("oneOf") or [schema])


def _kind(schema: Schema) -> str:
    if "const" in schema or "enum" in schema:
        return "one of several values"
    return str(schema.get("$recursive") or schema.get("format") or schema.get("type") or "anything")


def _values(schema: Schema) -> set[str]:
    return {str(value) for value in schema.get("enum", [schema.get("const")])}


def _bare(schema: Schema, *without: str) -> dict[str, Any]:
    return {name: value for name, value in schema.items() if name not in (*_TOLD, *without)}


def _flat(schema: dict[str, Any]) -> Schema:
    """A schema with its definitions where they are used: a model that only changed its name is the same."""
    return _inlined(schema, schema.get("$defs", {}), ())


def _inlined(part: dict[str, Any], definitions: Schema, within: tuple[str, ...]) -> dict[str, Any]:
    if "$ref" in part:
        name = part["$ref"].rpartition("/")[2]
        return {"$recursive": name} if name in within else _inlined(definitions[name], definitions, (*within, name))
    found: dict[str, Any] = {}
    for word, value in part.items():
        if word in ("properties", "patternProperties"):
            found[word] = {name: _inlined(field, definitions, within) for name, field in value.items()}
        elif word in ("anyOf", "oneOf", "allOf", "prefixItems"):
            found[word] = [_inlined(one, definitions, within) for one in value]
        elif word in ("items", "additionalProperties", "propertyNames") and isinstance(value, dict):
            found[word] = _inlined(cast("dict[str, Any]", value), definitions, within)
        elif word not in ("$defs", "discriminator", *_TOLD):
            found[word] = value
    return found


def _number(name: str) -> int:
    return int(name.rpartition(".v")[2])


def main(arguments: list[str]) -> int:
    now = described()
    released: Contracts = json.loads(RELEASED.read_text(encoding="utf-8")) if RELEASED.exists() else {"events": {}, "calls": {}}
    reasons = list(broken(released, now))
    for reason in reasons:
        print(reason)
    if reasons:
        print(f"{len(reasons)} reasons why these contracts do not hold what was released.")
        return 1
    if arguments == ["--release"]:
        text = json.dumps(now, ensure_ascii=False, indent=1, sort_keys=True)
        RELEASED.write_text(text + "\n", encoding="utf-8")
    print(f"Compatible with what was released: {len(released['events'])} events, {len(released['calls'])} calls.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
