"""The plans that this service carries, each a YAML file of this folder; `domain/plan.py` says what one must look like."""

from importlib import resources


def names() -> list[str]:
    """The plans there are, by the names under which a school adopts them."""
    return sorted(entry.name.removesuffix(".yaml") for entry in resources.files(__name__).iterdir() if entry.name.endswith(".yaml"))


def text(name: str) -> str:
    """The file of the plan `name`, one of `names()`."""
    return resources.files(__name__).joinpath(f"{name}.yaml").read_text(encoding="utf-8")
