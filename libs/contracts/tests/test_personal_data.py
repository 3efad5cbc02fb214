"""Events hold ids, enums, numbers, dates and digests: no field of any event could take a name or a free text (DESIGN 2.7).

The fields are walked in each event's JSON Schema, down through nested values, and whatever could hold more is named with its path.
"""

import re
from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import pytest
from pydantic import Field

from contracts import EVENTS
from contracts.event import Event, Identifier, Value

Schema = dict[str, Any]

EXCEPTED = {
    "CalendarTable.table": "days and numbers by year, made by libs/workdays alone and pinned by a digest of every byte",
    "SchoolOpened.timezone": "a name of the time zone database: roster refuses any other",
}

# What people would write into a field if they could. A bounded pattern of capital letters or of an id takes none of it.
TELLING = (
    "Иванова",
    "Иванова Анна",
    "Анна",
    "Anna Ivanova",
    "O'Neill",
    "anna@example.org",
    "+7 916 123-45-67",
    "112-233-445 95",
    "ул. Ленина, 4",
    "see note",
    "a\nb",
    "",
)


def loose_fields(event: type[Event]) -> list[str]:
    """The fields of an event that could hold a free text, as `Model.field`."""
    schema = event.model_json_schema()
    definitions: dict[str, Schema] = schema.get("$defs", {})
    return sorted({path for model in (schema, *definitions.values()) for path in _loose_in(model, model["title"])})


def _loose_in(schema: Schema, path: str) -> Iterator[str]:
    """Paths below a schema that are not closed; what is behind a `$ref` is walked as a model of its own."""
    if "$ref" in schema or "enum" in schema or "const" in schema:
        return
    for alternative in schema.get("anyOf", []):
        yield from _loose_in(alternative, path)
    match schema.get("type"):
        case "integer" | "number" | "boolean" | "null":
            pass
        case "string":
            if not _is_closed_text(schema):
                yield path
        case "array":
            for item in [*schema.get("prefixItems", []), schema.get("items", {"type": "null"})]:
                yield from _loose_in(item, path)
        case "object" if "properties" in schema or schema.get("additionalProperties") is False:
            for name, field in schema.get("properties", {}).items():
                yield from _loose_in(field, f"{path.split('.')[0]}.{name}")
        case "object" if "patternProperties" in schema and not schema.get("additionalProperties"):
            for pattern, value in schema["patternProperties"].items():
                if not _is_closed_text({"pattern": pattern}):
                    yield path
                yield from _loose_in(value, path)
        case None if "anyOf" in schema:
            pass
        case _:
            yield path


def _is_closed_text(schema: Schema) -> bool:
    if schema.get("format") == "date":
        return True
    pattern: str = schema.get("pattern", "")
    anchored = pattern.startswith("^") and pattern.endswith("$")
    return anchored and not any(re.search(pattern.removesuffix("$") + r"\Z", text) for text in TELLING)


@pytest.mark.parametrize("event", EVENTS.values(), ids=lambda event: event.type)
def test_no_field_of_an_event_could_hold_a_name_or_a_free_text(event: type[Event]) -> None:
    assert [path for path in loose_fields(event) if path not in EXCEPTED] == []


def test_every_exception_is_still_needed() -> None:
    assert {path for event in EVENTS.values() for path in loose_fields(event)} == set(EXCEPTED)


class _Nested(Value):
    remark: str | None


class _Leaking(Event):
    type: ClassVar[str] = "roster.leaking.v1"

    person: Identifier
    kind: Literal["pupil", "guardian"]
    count: int | None
    several: tuple[Identifier, ...]
    name: str
    notes: tuple[str, ...]
    by_name: dict[str, int]
    anything: Any
    half_bounded: str = Field(pattern=r"[a-z]+")
    words: str = Field(pattern=r"^[A-Za-z ]*$", max_length=200)
    nested: tuple[_Nested, ...]


def test_the_walk_itself_finds_what_would_leak() -> None:
    assert loose_fields(_Leaking) == [
        "_Leaking.anything",
        "_Leaking.by_name",
        "_Leaking.half_bounded",
        "_Leaking.name",
        "_Leaking.notes",
        "_Leaking.words",
        "_Nested.remark",
    ]
