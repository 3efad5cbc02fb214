"""Until when the certificates hold that bus and database show to a service apart.

The servers themselves are asked: a certificate that was made anew counts once it is shown.
"""

from __future__ import annotations

import asyncio
import ssl
import struct
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy.engine import URL

from eventkit.figures import Figure, Labelled

_ASKED_EVERY_S = 600.0
_WITHIN_S = 5.0
_PORT_OF_BUS = 4222
_PORT_OF_DATABASE = 5432
_SSL_REQUEST = struct.pack("!ii", 8, 80877103)
"""What a client of PostgreSQL says first."""


def of_servers(bus_url: str, database_url: URL, authority: Path | None) -> Figure:
    """What a service tells of the certificates that it is shown: nothing where no authority is known, and it asks for none."""

    async def told() -> Labelled:
        if authority is None:
            return {}
        found: dict[tuple[str, ...], float] = {}
        async with asyncio.timeout(_WITHIN_S):
            for host, port in _nodes(bus_url):
                found[host,] = await _of_bus(host, port, authority)
            if database_url.host is not None:
                found[database_url.host,] = await _of_database(database_url.host, database_url.port or _PORT_OF_DATABASE, authority)
        return found

    about = "When the certificate expires that a server shows, in seconds since 1970"
    return Figure("vekha_certificate_expires_at_seconds", about, ("server",), told, every_s=_ASKED_EVERY_S)


def _nodes(url: str) -> list[tuple[str, int]]:
    found = [urlsplit(node) for node in url.split(",")]
    return [(node.hostname, node.port or _PORT_OF_BUS) for node in found if node.hostname is not None]


async def _of_bus(host: str, port: int, authority: Path) -> float:
    _, writer = await asyncio.open_connection(host, port, ssl=ssl.create_default_context(cafile=authority))
    return await _expiry(writer)


async def _of_database(host: str, port: int, authority: Path) -> float:
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(_SSL_REQUEST)
    if await reader.readexactly(1) != b"S":
        writer.close()
        raise ConnectionError(f"{host} shows no certificate")
    await writer.start_tls(ssl.create_default_context(cafile=authority), server_hostname=host)
    return await _expiry(writer)


async def _expiry(writer: asyncio.StreamWriter) -> float:
    shown: ssl.SSLObject = writer.get_extra_info("ssl_object")
    certificate = shown.getpeercert()
    writer.close()
    if not certificate:
        raise ConnectionError("there was no certificate")
    return ssl.cert_time_to_seconds(str(certificate["notAfter"]))
