"""What was released is held: each kind of change that breaks it is named, and what only adds is let pass."""

import json
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import pytest

from contracts.compatibility import RELEASED, broken, described, main

ENROLLED = "roster.pupil-enrolled.v1"
HIRE = "roster.hire-staff"

Contracts = dict[str, Any]


@pytest.fixture
def contracts() -> Contracts:
    """A copy of today's, to be changed."""
    return deepcopy(json.loads(json.dumps(described())))


def fields(contracts: Contracts, event: str) -> dict[str, Any]:
    return contracts["events"][event]["schema"]["properties"]


def removed(contracts: Contracts) -> None:
    del contracts["events"][ENROLLED]


def field_removed(contracts: Contracts) -> None:
    del fields(contracts, ENROLLED)["person"]


def field_renamed(contracts: Contracts) -> None:
    fields(contracts, ENROLLED)["human"] = fields(contracts, ENROLLED).pop("person")


def field_retyped(contracts: Contracts) -> None:
    fields(contracts, ENROLLED)["person"] = {"type": "integer"}


def field_bounded(contracts: Contracts) -> None:
    fields(contracts, ENROLLED)["person"]["pattern"] = "^[a-z]+$"


def field_required(contracts: Contracts) -> None:
    schema = contracts["events"][ENROLLED]["schema"]
    schema["properties"]["weight"] = {"type": "integer"}
    schema["required"].append("weight")


def enum_narrowed(contracts: Contracts) -> None:
    fields(contracts, "plan.event-skipped.v1")["reason"]["enum"].remove("forged")


def upcast_removed(contracts: Contracts) -> None:
    contracts["events"]["consent.consent-granted.v1"]["newest"] = "consent.consent-granted.v1"


def call_removed(contracts: Contracts) -> None:
    del contracts["calls"][HIRE]


def request_asks_for_more(contracts: Contracts) -> None:
    request = contracts["calls"][HIRE]["request"]
    request["properties"]["salary"] = {"type": "integer"}
    request["required"].append("salary")


def reply_tells_less(contracts: Contracts) -> None:
    del contracts["calls"][HIRE]["reply"]["properties"]["person"]


def reply_tells_another_state(contracts: Contracts) -> None:
    contracts["calls"]["instance.clock"]["reply"]["properties"]["kind"]["enum"].append("broken")


def more_may_call(contracts: Contracts) -> None:
    contracts["calls"][HIRE]["who"]["pupil"] = "own school"


def somebody_reaches_further(contracts: Contracts) -> None:
    contracts["calls"]["consent.withdraw"]["who"]["pupil"] = "own school"


def another_kind(contracts: Contracts) -> None:
    contracts["calls"][HIRE]["command"] = False


BREAKING: Sequence[tuple[Callable[[Contracts], None], str]] = [
    (removed, f"event {ENROLLED} was removed: what was recorded of it must load for ever"),
    (field_removed, f"event {ENROLLED}.person was removed or renamed"),
    (field_renamed, f"event {ENROLLED}.person was removed or renamed"),
    (field_retyped, f"event {ENROLLED}.person is integer instead of string"),
    (field_bounded, f'event {ENROLLED}.person is bounded otherwise: {{"pattern": "^[a-z]+$", "type": "string"}}'),
    (field_required, f"event {ENROLLED}.weight is required now"),
    (enum_narrowed, "event plan.event-skipped.v1.reason does not take forged any more"),
    (upcast_removed, "event consent.consent-granted.v1 is no longer read as consent.consent-granted.v2"),
    (call_removed, f"call {HIRE} was removed"),
    (request_asks_for_more, f"call {HIRE}, request.salary is required now"),
    (reply_tells_less, f"call {HIRE}, reply.person was removed or renamed"),
    (reply_tells_another_state, "call instance.clock, reply.kind may be broken now"),
    (more_may_call, f"call {HIRE}: pupil may reach own school instead of nothing"),
    (somebody_reaches_further, "call consent.withdraw: pupil may reach own school instead of self"),
    (another_kind, f"call {HIRE} is no command any more"),
]


@pytest.mark.parametrize(("change", "reason"), BREAKING, ids=[change.__name__ for change, _ in BREAKING])
def test_what_breaks_a_promise_is_named(contracts: Contracts, change: Callable[[Contracts], None], reason: str) -> None:
    before = deepcopy(contracts)
    change(contracts)
    assert list(broken(before, contracts)) == [reason]


def test_what_only_adds_is_compatible(contracts: Contracts) -> None:
    before = deepcopy(contracts)
    contracts["events"]["roster.pupil-enrolled.v9"] = contracts["events"][ENROLLED]
    contracts["calls"]["roster.something-new"] = contracts["calls"][HIRE]
    contracts["calls"][HIRE]["request"]["properties"]["nickname"] = {"type": "string"}
    contracts["calls"][HIRE]["reply"]["properties"]["badge"] = {"type": "integer"}
    fields(contracts, "plan.event-skipped.v1")["reason"]["enum"].append("another")
    assert list(broken(before, contracts)) == []


def test_these_contracts_hold_what_was_released(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0, capsys.readouterr().out
    assert RELEASED.exists()


def test_a_release_that_breaks_the_one_before_is_refused_and_changes_nothing(
    contracts: Contracts, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    released = tmp_path / "released.json"
    contracts["events"]["roster.of-long-ago.v1"] = contracts["events"][ENROLLED]
    released.write_text(json.dumps(contracts))
    monkeypatch.setattr("contracts.compatibility.RELEASED", released)
    assert main(["--release"]) == 1
    assert "event roster.of-long-ago.v1 was removed" in capsys.readouterr().out
    assert json.loads(released.read_text()) == contracts
    released.unlink()
    assert main(["--release"]) == 0
    assert json.loads(released.read_text()) == json.loads(json.dumps(described()))
