"""The command line before any command runs."""

from __future__ import annotations

import sys

import pytest

from vekha.testing import Vekha


def test_where_newer_code_needs_what_is_not_installed_yet_the_set_up_is_named(vekha: Vekha, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("vekha.doctor", "vekha.commands"):
        monkeypatch.setitem(sys.modules, module, None)
        ended = vekha("doctor", "--json")
        assert (ended.code, ended.error["code"]) == (1, "installation.outdated")
        assert module in ended.err
        assert "deploy/bootstrap" in ended.err
        assert "Traceback" not in ended.err
