"""The command line before any command runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import click
import pytest

from vekha import commands
from vekha.testing import Vekha


def _leaves(command: click.Command) -> Iterator[click.Command]:
    """The commands that do something, in a group and in its groups."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from _leaves(found)
    else:
        yield command


def test_every_command_takes_json() -> None:
    found = list(_leaves(commands.commands))
    assert len(found) > 50
    assert [command.name for command in found if not any("--json" in one.opts for one in command.params)] == []


def test_where_newer_code_needs_what_is_not_installed_yet_the_set_up_is_named(vekha: Vekha, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("vekha.doctor", "vekha.commands"):
        monkeypatch.setitem(sys.modules, module, None)
        ended = vekha("doctor", "--json")
        assert (ended.code, ended.error["code"]) == (1, "installation.outdated")
        assert module in ended.err
        assert "deploy/bootstrap" in ended.err
        assert "Traceback" not in ended.err


def test_a_word_that_is_no_text_is_refused_in_words_as_any_other(vekha: Vekha) -> None:
    ended = vekha("call", os.fsdecode(b"roster.\xf8\xea\xee\xeb\xe0"), "{}", "--json")
    assert (ended.code, ended.error["code"]) == (2, "call.unknown")
