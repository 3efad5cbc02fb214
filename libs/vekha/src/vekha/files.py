"""Files that are written once, whole or not at all, for their owner's eyes alone."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from vekha.failures import Failure


def check_new(path: Path) -> None:
    """Refuses what cannot be written before anybody's data are read. Raises Failure `file.exists` or `file.unwritable`."""
    if path.exists():
        raise _exists(path)
    if not path.parent.is_dir():
        raise Failure("file.unwritable", f"{path} cannot be written: there is no folder {path.parent}.", "Name another one, or make it.")


def write_new(path: Path, content: bytes) -> None:
    """Writes the file beside its name first and then gives it the name: there is never half a file, and none is overwritten.

    Raises as `check_new` does.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        raise _exists(path) from None
    except OSError as error:
        raise Failure("file.unwritable", f"{path} cannot be written: {(error.strerror or type(error).__name__).lower()}.") from error
    finally:
        draft.unlink(missing_ok=True)


def _exists(path: Path) -> Failure:
    return Failure("file.exists", f"{path} is there already.", "Name another one, or delete it.")
