"""Who may make a call: the one function that every service asks before anything else happens."""

from __future__ import annotations

from typing import Any

from contracts.call import Call, Request, Role
from eventkit.decider import Refused
from eventkit.tokens import Actor

ANONYMOUS = Actor(Role.ANONYMOUS)

_OF_ONE_SCHOOL = frozenset({Role.DIRECTOR, Role.ADMINISTRATOR, Role.CLASS_TEACHER, Role.STAFF, Role.PUPIL, Role.GUARDIAN})


def check_role(call: Call[Any, Any], actor: Actor) -> None:
    """Raises Refused `access.role` where this role may not make this call at all."""
    if actor.role not in call.allowed:
        if actor.role is Role.ANONYMOUS:
            raise Refused("access.no-token", f"{call.name} needs a token.")
        raise Refused("access.role", f"The role of {_words(actor.role)} may not call {call.name}.")


def check_scope(actor: Actor, request: Request) -> None:
    """Raises Refused `access.other-school` where the request is about another school than the actor's, or about all of them."""
    if actor.school is None:
        if actor.role in _OF_ONE_SCHOOL:
            raise Refused("access.no-school", f"The token of a {_words(actor.role)} must name a school. Ask identity for a new one.")
        return
    about: str | None = getattr(request, "school", actor.school)
    if about != actor.school:
        raise Refused("access.other-school", f"This token is for school {actor.school}, not for {about or 'all of them'}.")


def _words(role: Role) -> str:
    return role.value.replace("_", " ")
