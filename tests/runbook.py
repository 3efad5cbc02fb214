"""The operator's pages, taken apart: which commands are typed in which section."""

from __future__ import annotations

import re
from pathlib import Path

DEPLOY = Path(__file__).parents[1] / "deploy"
RUNBOOK = DEPLOY / "runbook.md"

_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_BLOCK = re.compile(r"^```.*?^```\n?", re.DOTALL | re.MULTILINE)
_COMMANDS = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)


def anchor(heading: str) -> str:
    return re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")


def sections(page: Path = RUNBOOK) -> dict[str, list[str]]:
    """The lines of each section's blocks, a command each, by the section's anchor; what stands before the first is none."""
    text = page.read_text(encoding="utf-8")
    blocks = [(match.start(), match.end()) for match in _BLOCK.finditer(text)]
    headings = [match for match in _HEADING.finditer(text) if not any(start <= match.start() < end for start, end in blocks)]
    ends = [match.start() for match in headings[1:]] + [len(text)]
    return {anchor(match[1]): _lines(text[match.end() : end]) for match, end in zip(headings, ends, strict=True)}


def _lines(text: str) -> list[str]:
    joined = [block.replace("\\\n", " ") for block in _COMMANDS.findall(text)]
    return [line for block in joined for line in block.splitlines() if not line.startswith("alias ")]
