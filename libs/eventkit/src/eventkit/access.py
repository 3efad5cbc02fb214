"""Who may make a call: the one function that every service asks before anything else happens."""

from __future__ import annotations

from typing import Any

from contracts.call import Call, Request, Role
from eventkit.decider import Refused
from eventkit.tokens import Actor

ANONYMOUS = Actor(Role.ANONYMOUS)


def check_role(call: Call[Any, Any], actor: Actor) -> None:
    """Raises Refused `access.role` where this role may not make this call at all."""
    if actor.role not in call.allowed:
        if actor.role is Role.ANONYMOUS:
            raise Refused("access.no-token", f"{call.name} needs a token.")
        raise Refused("access.role", f"A {actor.role.value.replace('_', ' ')} may not call {call.name}.")


def check_scope(actor: Actor, request: Request) -> None:
    """Raises Refused `access.other-school` where the request is about another school than the actor's."""
    school: str | None = getattr(request, "school", None)
    if actor.school is not None and school is not None and school != actor.school:
        raise Refused("access.other-school", f"This token is for school {actor.school}, not for {school}.")
