"""Every environment variable that the code reads is told in docs/settings.md and `vekha up --help`, and none besides."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from click.testing import CliRunner

from eventkit import alone, environment
from vekha.up import up

ROOT = Path(__file__).parents[1]
_ROW = re.compile(r"^\| `(VEKHA_[A-Z_]+)` \| (.+) \|$", re.MULTILINE)
_NAME = re.compile(r"VEKHA_[A-Z_]*[A-Z]")


def told() -> dict[str, str]:
    return dict(_ROW.findall((ROOT / "docs/settings.md").read_text()))


def names_in(path: Path) -> Iterator[str]:
    """The variables that a module's texts are made of, without its docstrings."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            node.value = ast.Constant(None)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from _NAME.findall(node.value)


class Asked(dict[str, str]):
    """An empty environment that notes what was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def get(self, key: str, default: object = None) -> object:  # pyright: ignore[reportIncompatibleMethodOverride] -- nothing is ever found
        self.names.add(key)
        return default


def test_what_is_told_of_a_variable_is_told_in_one_place_and_shown_in_the_page() -> None:
    rows = told()
    for variables in (environment.VARIABLES, alone.VARIABLES):
        assert {name: rows.get(name) for name in variables} == dict(variables)


def test_the_variables_are_those_that_an_instance_asks_for() -> None:
    asked = Asked()
    environment.chosen(asked)
    assert asked.names == set(environment.VARIABLES)


def test_no_variable_that_the_code_reads_is_missing_from_the_page() -> None:
    modules = [path for part in ("libs", "services") for path in (ROOT / part).glob("*/src/**/*.py") if not path.stem.startswith("testing")]
    read = {name for path in modules for name in names_in(path)} - {"VEKHA_ESIA"}  # a beginning of four names
    assert read == set(told())


def test_the_help_of_up_tells_what_may_be_chosen() -> None:
    shown = " ".join(CliRunner().invoke(up, ["--help"]).output.split())
    for name, what in environment.VARIABLES.items():
        assert f"{name} {' '.join(what.split())}" in shown
