"""Until when the certificates hold that bus and database show to a service apart.

The servers themselves are asked: a certificate that was made anew counts once it is shown.
"""

from __future__ import annotations

import asyncio
import ssl
import struct
from collections.abc import Awaitable
from pathlib import Path
from urllib.parse import urlsplit

import structlog
from sqlalchemy.engine import URL

from eventkit.figures import Figure, Labelled
from eventkit.telemetry import trouble

_ASKED_EVERY_S = 600.0
_WITHIN_S = 5.0
_PORT_OF_BUS = 4222
_PORT_OF_DATABASE = 5432
_SSL_REQUEST = struct.pack("!ii", 8, 80877103)
"""What a client of PostgreSQL says first."""

_log = structlog.get_logger(__name__)


def of_servers(bus_url: str, database_url: URL, authority: Path | None) -> Figure:
    """What a service tells of the certificates that it is shown: nothing where no authority is known, and it asks for none."""

    async def told() -> Labelled:
        if authority is None:
            return {}
        servers = [(host, _of_bus(host, port, authority)) for host, port in _nodes(bus_url)]
        if (host := database_url.host) is not None:
            servers.append((host, _of_database(host, database_url.port or _PORT_OF_DATABASE, authority)))
        expiries = await asyncio.gather(*(_unless_away(host, asked) for host, asked in servers))
        return {(host,): expiry for (host, _), expiry in zip(servers, expiries, strict=True) if expiry is not None}

    about = "When the certificate expires that a server shows, in seconds since 1970"
    return Figure("vekha_certificate_expires_at_seconds", about, ("server",), told, every_s=_ASKED_EVERY_S)


async def _unless_away(host: str, asked: Awaitable[float]) -> float | None:
    """One server that is away, or shows none that holds, keeps nobody from hearing of the others'."""
    try:
        async with asyncio.timeout(_WITHIN_S):
            return await asked
    except (OSError, EOFError, TimeoutError) as error:
        _log.warning("certificate.not-told", server=host, **trouble(error))
        return None


def _nodes(url: str) -> list[tuple[str, int]]:
    found = [urlsplit(node) for node in url.split(",")]
    return [(node.hostname, node.port or _PORT_OF_BUS) for node in found if node.hostname is not None]


async def _of_bus(host: str, port: int, authority: Path) -> float:
    _, writer = await asyncio.open_connection(host, port, ssl=ssl.create_default_context(cafile=authority))
    try:
        return _expiry(writer)
    finally:
        writer.close()


async def _of_database(host: str, port: int, authority: Path) -> float:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(_SSL_REQUEST)
        if await reader.readexactly(1) != b"S":
            raise ConnectionError(f"{host} shows no certificate")
        await writer.start_tls(ssl.create_default_context(cafile=authority), server_hostname=host)
        return _expiry(writer)
    finally:
        writer.close()


def _expiry(writer: asyncio.StreamWriter) -> float:
    shown: ssl.SSLObject = writer.get_extra_info("ssl_object")
    certificate = shown.getpeercert()
    if not certificate:
        raise ConnectionError("there was no certificate")
    return ssl.cert_time_to_seconds(str(certificate["notAfter"]))
