"""The plans that this service carries, each a YAML file of this folder; `domain/plan.py` says what one must look like.

`<name>.yaml` is a plan's newest revision. Once it is released it is never changed again (`released.json` holds its digest): before the next
revision is written, it is copied to `<name>.r<N>.yaml` for the schools that go on with it.
"""

import json
import re
from importlib import resources
from importlib.resources.abc import Traversable

_FILE = re.compile(r"(?P<name>[a-z0-9-]+)(?:\.r(?P<revision>[1-9][0-9]*))?\.yaml")


def names() -> list[str]:
    """The plans there are, by the names under which a school adopts them."""
    return sorted(found["name"] for found in _files() if found["revision"] is None)


def earlier_revisions(name: str) -> list[int]:
    """The revisions of a plan that are kept beside its newest."""
    return sorted(int(found["revision"]) for found in _files() if found["name"] == name and found["revision"] is not None)


def file(name: str, revision: int | None = None) -> str:
    """The name of the file of a plan: of its newest revision, or of an earlier one."""
    return f"{name}.yaml" if revision is None else f"{name}.r{revision}.yaml"


def text(name: str, revision: int | None = None) -> str:
    """The content of that file, which must be there."""
    return _folder().joinpath(file(name, revision)).read_text(encoding="utf-8")


def released() -> dict[str, dict[str, str]]:
    """The SHA-256 of each revision that was released, in hex, by plan and revision."""
    return json.loads(_folder().joinpath("released.json").read_text(encoding="utf-8"))


def _files() -> list[re.Match[str]]:
    return [found for entry in _folder().iterdir() if (found := _FILE.fullmatch(entry.name))]


def _folder() -> Traversable:
    return resources.files(__name__)
