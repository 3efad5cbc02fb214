"""Every key that a log line or a span uses anywhere is one that may be told: else the line would say types where it means ids."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from eventkit.redaction import KEYS, allowed

_ROOT = Path(__file__).parents[1]
_OF_SPAN = {"kind", "parent"}


def _said() -> Iterator[tuple[str, ast.Call]]:
    for source in sorted([*_ROOT.glob("libs/*/src/**/*.py"), *_ROOT.glob("services/*/src/**/*.py")]):
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ((called := ast.unparse(node.func)) == "span" or called.startswith("_log.")):
                yield f"{source.name}:{node.lineno}", node


def test_every_key_is_on_the_list() -> None:
    said = list(_said())
    assert len(said) > 40
    for place, call in said:
        used = {keyword.arg for keyword in call.keywords if keyword.arg is not None}
        assert used - _OF_SPAN <= KEYS, place


def test_every_line_has_a_name_that_is_told() -> None:
    for place, call in _said():
        if ast.unparse(call.func) != "span":
            assert isinstance(call.args[0], ast.Constant), place
            assert allowed({"event": call.args[0].value}) == {"event": call.args[0].value}, place
