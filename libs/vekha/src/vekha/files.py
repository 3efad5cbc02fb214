"""Files that are written once, whole or not at all: for their owner's eyes alone, unless they are to be handed on."""

from __future__ import annotations

import os
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from vekha.failures import Failure

FOR_ITS_OWNER = 0o600
TO_BE_HANDED_ON = 0o666
"""What holds nothing of anybody: who may read it, whoever wrote it, is left to the umask."""


def check_new(path: Path) -> None:
    """Refuses what cannot be written before anybody's data are read. Raises Failure `file.exists` or `file.unwritable`."""
    if path.exists():
        raise _exists(path)
    if not path.parent.is_dir():
        raise Failure("file.unwritable", f"{path} cannot be written: there is no folder {path.parent}.", "Name another one, or make it.")


def write_new(path: Path, content: bytes, mode: int = FOR_ITS_OWNER) -> None:
    """Writes a file as `new` does."""
    with new(path, mode) as file:
        file.write(content)


@contextmanager
def new(path: Path, mode: int = FOR_ITS_OWNER) -> Generator[IO[bytes]]:
    """A file to be written and read: it lies beside its name first and gets that at the end of the block.

    There is never half a file, and none is overwritten. Raises as `check_new` does.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        with os.fdopen(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode), "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        raise _exists(path) from None
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        draft.unlink(missing_ok=True)


def unwritable(path: Path, error: OSError) -> Failure:
    """What it amounts to that a file cannot be written where somebody has asked for it."""
    text = f"{path} cannot be written: {(error.strerror or type(error).__name__).lower()}."
    return Failure("file.unwritable", text, "Name another one, or make room and give this user the right.")


def _exists(path: Path) -> Failure:
    return Failure("file.exists", f"{path} is there already.", "Name another one, or delete it.")
