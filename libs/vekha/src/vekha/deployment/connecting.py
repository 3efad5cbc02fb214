"""The connection to the bus of a job that ends: a service waits for it as long as it takes, and somebody waits for the job."""

from __future__ import annotations

import asyncio

from nats import errors

from eventkit import jetstream
from eventkit.broker import Credential
from eventkit.connection import Connection
from vekha.failures import Exit, Failure

_TIMEOUT_S = 15.0  # a bus that has just been started takes one or two


async def connect(url: str, credential: Credential, *, name: str) -> Connection:
    """Raises Failure `bus.unreachable` where nothing answers at the address, or whoever answers does not know us."""
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            return await jetstream.connect(url, credential, name=name)
    except (TimeoutError, OSError, ValueError, errors.Error) as error:
        text = f"The bus at {url} does not let {name} in."
        hint = "Is the address right, is it up, and has it taken up the accounts that `vekha deploy accounts` has written?"
        raise Failure("bus.unreachable", text, hint, exit_code=Exit.UNREACHABLE) from error
