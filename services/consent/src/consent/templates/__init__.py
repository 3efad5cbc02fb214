"""What is signed: the texts of the forms of consent, each a file of this folder, with the codes of what it says.

`<template>.v<N>.md` is one version. Codes come first, between lines of `+++` (TOML), then the text, in a few signs: `#` and `##` are
headings, `-` is an item, `[ ]` a box to tick, `Label: ____` a line to be filled in, and `{school}`, `{person}`, `{seat}` what is
printed where it is known. Once a version is released it is never changed again (`released.json` holds the SHA-256 of its file): a new
one is written beside it, with the day from which it is to be signed.

The texts are drafts: a lawyer has to read them (152-ФЗ ст. 9 ч. 4 says what must stand in them).
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache, lru_cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

from contracts.consent import Capacity, SubjectKind, Terms
from eventkit.decider import Refused

_FILE = re.compile(r"(?P<name>[a-z][a-z0-9-]*)\.v(?P<version>[1-9][0-9]*)\.md")
_FENCE = "+++\n"


@dataclass(frozen=True, slots=True)
class Template:
    """One version of a text. `since` is the first day on which it may be signed; who signs it, and whose data it is about, is fixed."""

    subject_kind: SubjectKind
    capacity: Capacity
    since: date
    terms: Terms
    text: str

    @property
    def name(self) -> str:
        return self.terms.template

    @property
    def version(self) -> int:
        return self.terms.template_version


@lru_cache(1024)
def in_force(
    kind: SubjectKind, capacity: Capacity, on: date, *, name: str | None, version: int | None = None, of: tuple[Template, ...] = ()
) -> Template:
    """The template that somebody signs on a day; `name` and `version` choose another than the newest of the school portal's.

    Raises Refused `template.unknown`, or `template.other-signer` where the text is for others to sign. `of` are the templates there are,
    by default those of this folder.
    """
    known = of or every()
    if name is not None and all(template.name != name for template in known):
        raise Refused("template.unknown", f"There is no template {name}. There are {', '.join(sorted({one.name for one in known}))}.")
    fitting = [one for one in known if (one.subject_kind, one.capacity) == (kind, capacity) and name in (None, one.name)]
    if not fitting:
        raise Refused("template.other-signer", f"{name} is not what is signed for a {kind} in the capacity {capacity}. Leave it out.")
    found = [one for one in fitting if one.since <= on and version in (None, one.version)]
    if not found:
        which = "" if version is None else f" of version {version}"
        raise Refused("template.unknown", f"No template{which} for a {kind} was in force on {on}. Say which version was signed.")
    return max(found, key=lambda one: one.version)


@cache
def every() -> Sequence[Template]:
    """All versions of all templates, by name and version."""
    found = [(match["name"], int(match["version"])) for entry in _folder().iterdir() if (match := _FILE.fullmatch(entry.name))]
    return [read(name, version, _folder().joinpath(file(name, version)).read_bytes()) for name, version in sorted(found)]


def read(name: str, version: int, content: bytes) -> Template:
    """A template from the bytes of its file. Raises ValueError where they are none."""
    before, codes, text = content.decode().split(_FENCE, 2)
    if before:
        raise ValueError(f"{file(name, version)} does not begin with its codes")
    facts: dict[str, Any] = tomllib.loads(codes)
    kind, capacity, since = SubjectKind(facts.pop("subject_kind")), Capacity(facts.pop("capacity")), facts.pop("since")
    terms = Terms.model_validate({**facts, "template": name, "template_version": version, "template_sha256": digest(content)})
    return Template(kind, capacity, since, terms, text)


def digest(content: bytes) -> str:
    """The SHA-256 of a template's file, in hex: what stands in a consent as what was signed."""
    return hashlib.sha256(content).hexdigest()


def file(name: str, version: int) -> str:
    """The name of the file of a version."""
    return f"{name}.v{version}.md"


def content(name: str, version: int) -> bytes:
    """The bytes of that file, which must be there."""
    return _folder().joinpath(file(name, version)).read_bytes()


def released() -> dict[str, dict[str, str]]:
    """The SHA-256 of each version that was released, in hex, by template and version."""
    return json.loads(_folder().joinpath("released.json").read_text(encoding="utf-8"))


def _folder() -> Traversable:
    return resources.files(__name__)
