"""Sends what the outbox holds, one message a person, and records what the mail server said.

What the server says about us (it is away, or will not have our login or sender) holds everything back for a growing while. What it says
about one message concerns that message alone: taken, refused for good (5xx), or to be tried again (4xx). A connection lost after the text
went out leaves the message `ambiguous`, and it is not repeated. A quarantined service sends nothing: what its record has forgotten may have
been sent. An activation link is asked of identity once the server has taken the recipient, and stays in this process's memory until its
text has gone out. Logs name messages and answers, never an address.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import structlog
from aiosmtplib import SMTP, SMTPDataError, SMTPRecipientRefused, SMTPResponseException
from pydantic import SecretStr
from sqlalchemy import Row

from contracts.event import NO_SCHOOL
from contracts.identity import TAKE_LINK, TakeLink, TakenLink
from contracts.plan import STEPS, StepsQuery
from contracts.roster import PERSON, PersonQuery
from eventkit import log
from eventkit.clock import DEFAULT_ZONE, local_day
from eventkit.decider import Refused
from eventkit.event import Recorded
from eventkit.faults import reach
from eventkit.service import Service
from eventkit.store import Transaction
from eventkit.tasks import ended
from eventkit.telemetry import span_after, trouble
from notifier import outbox
from notifier.domain.message import MESSAGES, Accept, Bounce
from notifier.domain.telling import LATEST
from notifier.letter import Letter, Title, deliverable, written
from notifier.link_letter import LinkLetter, link_written
from notifier.names import names_for, school_name
from notifier.outbox import State, claim, contents, expire, set_state, waiting
from notifier.plain_letter import plain_written
from notifier.projections import place
from notifier.reissues import reissue_letter

FIRST_DELAY_S = 1.0
LONGEST_DELAY_S = 3600.0
MOST_ATTEMPTS = 40  # with these delays more than a day of "later", which then means no
_TIMEOUT_S = 30.0
_LAST_LETTER_S = 5.0  # for as long a service that stops waits for the one that it has in its hands
_AT_A_TIME = 200
_LOOK_AGAIN_S = 30.0  # a wake-up is the rule; this finds what was queued before the service was cut off

_MONITOR = re.compile(r"ministry|municipality:[A-Za-z0-9][A-Za-z0-9_-]{0,63}")

_Write = Callable[[str], Awaitable[EmailMessage | None]]
"""Writes a letter to an address, once the mail server has taken that; None where there is nothing to send any more."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class MailServer:
    """Where mail is handed over, and as whom. With credentials the connection is encrypted, or there is none."""

    host: str
    port: int
    username: str | None
    password: SecretStr | None
    sender: str

    @classmethod
    def configured(cls, smtp_url: str, password: SecretStr | None, mail_from: str | None) -> MailServer:
        """From `smtp://[user@]host[:port]`, the user's password and the address that mail comes from.

        Raises Refused `mail.url-invalid`, `mail.password-in-url`, `mail.password-missing` or `mail.sender-missing`.
        """
        try:
            url = urlsplit(smtp_url)
            port = url.port
        except ValueError:
            url, port = urlsplit(""), None
        if url.scheme != "smtp" or not url.hostname or url.path not in ("", "/"):
            # Without the text itself: it may hold a password.
            raise Refused("mail.url-invalid", "The mail server's address is no smtp://[user@]host[:port].")
        if url.password is not None:
            raise Refused("mail.password-in-url", "A password stands in the mail server's address: keep it in secrets/smtp.password alone.")
        if url.username and password is None:
            raise Refused("mail.password-missing", "The mail server's user has no password: put it into secrets/smtp.password.")
        if mail_from is None or not deliverable(mail_from):
            raise Refused("mail.sender-missing", "Say which address mail comes from, in ASCII: without it no server takes any.")
        username = unquote(url.username) if url.username else None
        return cls(url.hostname, port or (587 if username else 25), username, password if username else None, mail_from)

    def connection(self) -> SMTP:
        return SMTP(
            hostname=self.host,
            port=self.port,
            username=self.username,
            password=None if self.password is None else self.password.get_secret_value(),
            start_tls=True if self.username else None,
            timeout=_TIMEOUT_S,
        )


def monitors(path: str | None) -> dict[str, str]:
    """The addresses of managers from a file: on each line `ministry` or `municipality:CODE` and an address, `#` begins a remark.

    Raises Refused `monitors.unreadable` or `monitors.malformed`.
    """
    if path is None:
        return {}
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise Refused("monitors.unreadable", f"The file of managers' addresses, {path}, cannot be read as text.") from None
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not (words := line.partition("#")[0].split()):
            continue
        if len(words) != 2 or not _MONITOR.fullmatch(words[0]) or not deliverable(words[1]):
            text = f"Line {number} of {path} is no manager and address: write `ministry ADDRESS` or `municipality:CODE ADDRESS`."
            raise Refused("monitors.malformed", text)
        found[words[0]] = words[1]
    return found


class Sender:
    """Works off the outbox beside the service. `wake` it when something was queued. `managers` are their addresses."""

    def __init__(self, service: Service, server: MailServer, managers: Mapping[str, str]) -> None:
        self._service = service
        self._server = server
        self._managers = managers
        self._woken = asyncio.Event()
        self._rests: dict[str, float] = {}  # until when a message that was put off rests, by the loop's clock
        self._links: dict[str, TakenLink] = {}  # by message: nobody is told them twice, so one that is put off keeps its own
        self._failures = 0  # of the server, in a row

    def wake(self) -> None:
        self._woken.set()

    async def run(self) -> None:
        """Sends until cancelled. Whoever starts late sends nothing old."""
        oldest = local_day(self._service.clock.now()) - LATEST
        await self._service.write(lambda connection: connection.execute(expire(oldest)).rowcount)
        while True:
            self._woken.clear()
            try:
                rest_s = await self._send_what_waits()
                self._failures = 0
            except Exception as error:  # noqa: BLE001 -- whatever it was, what is queued is tried again
                self._failures += 1
                status = {"status": error.code} if isinstance(error, SMTPResponseException) else {}
                _log.warning("mail.held-back", failures=self._failures, **trouble(error), **status)
                await asyncio.sleep(_delay_s(self._failures))
            else:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(rest_s):
                        await self._woken.wait()

    async def _send_what_waits(self) -> float:
        """Tries each message that is not resting; answers after how many seconds to look again."""
        now = asyncio.get_running_loop().time()
        found = await self._service.read(lambda connection: waiting(connection, _AT_A_TIME))
        self._rests = {row.message: self._rests[row.message] for row in found if self._rests.get(row.message, now) > now}
        still = {row.message for row in found}
        self._links = {message: taken for message, taken in self._links.items() if message in still}
        messages = [row for row in found if row.message not in self._rests]
        if messages and self._service.store.quarantine is None:
            async with self._server.connection() as smtp:
                for row in messages:
                    if self._service.store.quarantine is not None:
                        break
                    await _to_its_end(self._send(smtp, row))
            if len(messages) == _AT_A_TIME:
                return 0.0
        return min([_LOOK_AGAIN_S, *(until - now for until in self._rests.values())])

    async def _send(self, smtp: SMTP, row: Row[Any]) -> None:
        """Sends one message. Raises what the server says about us; then nothing has been sent, or the message is ambiguous."""
        history: list[Recorded] = await self._service.read(lambda connection: log.history(connection, MESSAGES.stream(row.message)))
        state = MESSAGES.fold(recorded.event() for recorded in history).state
        if state in ("accepted", "bounced"):
            await self._note(row, state)  # the record was repaired, and knows more than this row
            return
        with span_after(history[0].traceparent if history else None, "mail", message=row.message):
            await self._hand_over(smtp, row)

    async def _hand_over(self, smtp: SMTP, row: Row[Any]) -> None:
        try:
            address = await self._address(row)
            write = await self._writer(row)
        except Refused as refused:
            await self._put_off(row, refused.code)
            return
        if not deliverable(address):
            await self._note(row, "unaddressed")
            return
        claimed = False
        await smtp.rset()
        # Whoever sends it back is asked to leave out the text, which may hold a link.
        await smtp.mail(self._server.sender, options=["RET=HDRS"] if smtp.supports_extension("dsn") else None)
        try:
            await smtp.rcpt(address)
            # Before a link is taken and the text goes out, so that whatever dies now, it is not sent again; and while this process
            # has it in its hands, no other one tries it, or thinks the link lost.
            claimed = await self._service.write(lambda connection: connection.execute(claim(row)).rowcount) == 1
            if not claimed:
                return
            mail = await self._write(row, write, address)
            if mail is None:
                await self._note(row, "lost", claimed=True)
                return
            reach("mail.before-text")
            await smtp.data(mail.as_bytes())
            reach("mail.after-text")
        except (SMTPRecipientRefused, SMTPDataError) as refused:
            await self._refused(row, refused.code, claimed=claimed)
        else:
            await self._settle(row, Accept(), "accepted", claimed=True)

    async def _write(self, row: Row[Any], write: _Write, address: str) -> EmailMessage | None:
        try:
            return await write(address)
        except Exception:
            await self._note(row, "queued", claimed=True)  # nothing has gone out
            raise

    async def _writer(self, row: Row[Any]) -> _Write:
        match row.template:
            case outbox.LINK:
                return await self._link_letter(row)
            case outbox.REISSUE_NOTICE:
                return await self._reissue_letter(row)
            case _:
                return await self._letter(row)

    async def _letter(self, row: Row[Any]) -> _Write:
        told = contents(row)
        names = await names_for(self._service.calls, row.school, row.template, told)
        letter = Letter(row.message, row.school, row.template, row.day, told, await self._titles(row), names)

        async def write(address: str) -> EmailMessage:
            return written(letter, sender=self._server.sender, address=address, at=self._service.clock.now())

        return write

    async def _reissue_letter(self, row: Row[Any]) -> _Write:
        school = await school_name(self._service.calls, row.school)

        async def write(address: str) -> EmailMessage:
            letter = reissue_letter(row.message, school)
            return plain_written(letter, sender=self._server.sender, address=address, at=self._service.clock.now())

        return write

    async def _link_letter(self, row: Row[Any]) -> _Write:
        """A letter with a link; None where nobody is told that any more. The link is taken as late as can be."""
        school = await school_name(self._service.calls, row.school)

        async def write(address: str) -> EmailMessage | None:
            taken = self._links.get(row.message)
            if taken is None:
                try:
                    taken = (await self._service.calls.call(TAKE_LINK, TakeLink(school=row.school, credential=row.credential))).reply
                except Refused as refused:
                    _log.warning("mail.link-lost", message=row.message, why=refused.code)
                    return None
                reach("mail.link-taken")
                self._links[row.message] = taken
            letter = LinkLetter(row.message, school, taken.link, taken.login, taken.expires_on)
            return link_written(letter, sender=self._server.sender, address=address, at=self._service.clock.now())

        return write

    async def _address(self, row: Row[Any]) -> str:
        """The recipient's address: asked for each time, and kept nowhere. Empty where nobody knows one."""
        match row.template:
            case "municipality-digest":
                return self._managers.get(f"municipality:{row.recipient}", "")
            case "ministry-digest":
                return self._managers.get(row.recipient, "")
            case _:
                pass
        try:
            card = (await self._service.calls.call(PERSON, PersonQuery(school=row.school, person=row.recipient))).reply
        except Refused as refused:
            if refused.code in ("person.unknown", "person.erased"):
                return ""
            raise
        return card.details.email

    async def _titles(self, row: Row[Any]) -> dict[tuple[str, int], Title]:
        """What the steps are called in the school's plan; in a digest, in each plan, as the first school says that is named."""
        schools: dict[str, str] = {one.plan: one.listed[0] for one in reversed(contents(row).overdue)} or {"": row.school}
        titles: dict[tuple[str, int], Title] = {}
        for plan, school in schools.items():
            try:
                steps = (await self._service.calls.call(STEPS, StepsQuery(school=school))).reply.steps
            except Refused as refused:
                if refused.code != "plan.not-adopted":
                    raise
            else:
                titles |= {(plan, one.step): Title(one.title_ru, one.title_en) for one in steps}
        return titles

    async def _refused(self, row: Row[Any], status: int, *, claimed: bool) -> None:
        """The server will not have this message now (4xx) or ever (5xx); what is neither says nothing."""
        if 400 <= status < 500 and row.attempts + 1 < MOST_ATTEMPTS:
            await self._put_off(row, status, claimed=claimed)
        elif 400 <= status < 600:
            await self._settle(row, Bounce(status), "bounced", claimed=claimed)

    async def _put_off(self, row: Row[Any], why: int | str, *, claimed: bool = False) -> None:
        await self._note(row, "queued", claimed=claimed)
        self._rests[row.message] = asyncio.get_running_loop().time() + _delay_s(row.attempts + 1)
        _log.info("mail.put-off", message=row.message, why=why, attempts=row.attempts + 1)

    async def _note(self, row: Row[Any], state: State, *, claimed: bool = False) -> None:
        if state != "queued":
            self._links.pop(row.message, None)
        await self._service.write(lambda connection: connection.execute(set_state(row, state, claimed=claimed)).rowcount)

    async def _settle(self, row: Row[Any], outcome: Accept | Bounce, state: State, *, claimed: bool) -> None:
        """Records what became of the message, for good."""

        def work(tx: Transaction) -> None:
            if not tx.write(set_state(row, state, claimed=claimed)):
                return  # another process of the service has it
            zone = DEFAULT_ZONE if row.school == NO_SCHOOL else place(tx.rows, row.school).timezone
            today = local_day(tx.now, zone)
            tx.decide(MESSAGES, row.message, outcome, school=row.school, happened_on=today)

        self._links.pop(row.message, None)
        await self._service.carry_out(self._service.as_itself(f"send-{row.message}"), work, part=state)


async def _to_its_end(sending: Coroutine[Any, Any, None]) -> None:
    """Sends a letter, for a while also when cancelled: one that is cut off stays ambiguous, and somebody would have to ask."""
    task = asyncio.create_task(sending)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        loop = asyncio.get_running_loop()
        until = loop.time() + _LAST_LETTER_S
        while not task.done() and (rest_s := until - loop.time()) > 0:
            with contextlib.suppress(asyncio.CancelledError):  # who ends a service cancels again and again
                await asyncio.wait([task], timeout=rest_s)
        await ended([task])
        raise


def _delay_s(failures: int) -> float:
    return min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(failures - 1, 30))
