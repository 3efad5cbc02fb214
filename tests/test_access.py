"""Every call that the contracts declare is answered by its service, to the roles and services that stand beside it alone (DESIGN 3)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from contracts import SERVICES
from contracts.call import CALLS, Call, Role
from eventkit.calls import CallFailed, Calls
from eventkit.clock import ManualClock
from eventkit.decider import Refused
from eventkit.tokens import Actor, Tokens
from tests import record
from tests.conftest import Lived, instance
from tests.school import SCHOOL
from vekha.client import Client
from vekha.folder import DataFolder


async def test_every_call_is_answered_and_only_to_the_roles_that_are_declared_beside_it(lived: Lived, tmp_path: Path) -> None:
    data = lived.copy(tmp_path / "data")
    async with instance(data) as client:
        for who, token in _tokens(DataFolder(data)).items():
            for name, call in CALLS.items():
                answer = await _answer(client, call, token)
                assert answer not in ("call.unknown", "service.unreachable", "token.invalid", "token.expired"), name
                refused = answer in ("access.role", "access.service", "access.no-token")
                assert refused == (who not in {*call.allowed, *call.services}), (name, who, answer)
    assert record.logs(data) == record.logs(lived.data)


def _tokens(folder: DataFolder) -> dict[str, str | None]:
    """A token of each role and of each service, signed by whoever may; none for anonymous."""
    secrets, clock = folder.secrets(), ManualClock(folder.time())
    identity = Tokens("identity", secrets.signing_key("identity"), secrets.public_keys(), clock)
    tokens: dict[str, str | None] = {Role.OPERATOR: folder.operator_token(), Role.ANONYMOUS: None}
    for service in SERVICES:
        own = Tokens(service, secrets.signing_key(service), secrets.public_keys(), clock)
        tokens[service] = own.mint(Actor(Role.SERVICE, service), lifetime_s=300)
    for role in Role:
        if role not in tokens and role is not Role.SERVICE:
            tokens[role] = identity.mint(Actor(role, "scope-1", SCHOOL), lifetime_s=300)
    return tokens


async def _answer(client: Client, call: Call[Any, Any], token: str | None) -> str:
    """How a call with an empty body is answered: the code, or nothing. A command's body does not fit, for some need nothing in it."""
    try:
        await Calls(client.nc, token).call_raw(call.name, b'{"misspelt": 0}' if call.command else b"{}", command=False)
    except (Refused, CallFailed) as answer:
        return answer.code
    return ""
