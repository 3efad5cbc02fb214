"""Files that are written once, whole or not at all, for their owner's eyes alone."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from vekha.failures import Failure


def write_new(path: Path, content: bytes) -> None:
    """A new file with this content, or none. Raises Failure `file.exists` or `file.unwritable`."""
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise unwritable(path, error) from error
    written = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(written, path)  # unlike a renaming, it does not take the place of what is there
    except FileExistsError:
        raise exists(path) from None
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        written.unlink()


def exists(path: Path) -> Failure:
    return Failure("file.exists", f"{path} is there already.", "Name another one, or delete it.")


def unwritable(path: Path, error: OSError) -> Failure:
    return Failure("file.unwritable", f"{path} cannot be written: {(error.strerror or type(error).__name__).lower()}.")
