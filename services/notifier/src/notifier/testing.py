"""For tests: a mail server that keeps what it takes, and a notifier that sends to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session
from pydantic import SecretStr

from eventkit.instance import Build
from notifier.app import build


@dataclass
class PostOffice:
    """A mail server. `answers` are given one after another for each text, then everything is taken; of the next `aborts` texts that are
    taken the connection is lost before it can say so. Each text is waited over for `slowness_s`."""

    port: int = 0
    mails: list[tuple[list[str], bytes]] = field(default_factory=list[tuple[list[str], bytes]])
    answers: list[str] = field(default_factory=list[str])
    asked: int = 0
    unknown: set[str] = field(default_factory=set[str])
    aborts: int = 0
    slowness_s: float = 0.0

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]) -> str:
        if address in self.unknown:
            return "550 No such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        await asyncio.sleep(self.slowness_s)
        self.asked += 1
        if self.answers:
            return self.answers.pop(0)
        if not isinstance(envelope.content, bytes):
            raise TypeError("the text of a mail is bytes")
        self.mails.append((list(envelope.rcpt_tos), envelope.content))
        if self.aborts and isinstance(server.transport, asyncio.Transport):
            self.aborts -= 1
            server.transport.abort()
        return "250 OK"


@asynccontextmanager
async def post_office(port: int = 0) -> AsyncGenerator[PostOffice]:
    office = PostOffice()
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(office, hostname="localhost"), "127.0.0.1", port)
    office.port = server.sockets[0].getsockname()[1]
    try:
        yield office
    finally:
        server.close()


def sending_to(url: str, monitors_file: Path | None = None, password: SecretStr | None = None) -> Build:
    return lambda settings: build(
        replace(
            settings,
            smtp_url=url,
            smtp_password=password,
            mail_from="vekha@example.org",
            monitors_file=monitors_file and str(monitors_file),
        )
    )
