"""No personal data in anything that is stored or passed on but roster's vault (DESIGN 2.7), looked for in all that a real import leaves.

The sample school's files are imported through a running `vekha up`, codes are issued and used, calls are refused and go wrong, threads and
in the end the process die at their work. Then every name, birth date, date that tells one, e-mail, telephone number, СНИЛС, external id,
consent number and code, and every secret of the instance, is looked for in the logs, the traces, in what the commands printed, in the bus,
in the databases and in the run folder. What looks alike counts as the same: letters escaped in JSON, a date in any order, digits however
they are grouped. A new kind of secret is one line where it is made: `result.personal.add_secrets(kind, values)`.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import csv
import io
import json
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from email import message_from_bytes, policy
from itertools import pairwise
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from pypdf import PdfReader

from contracts import SERVICES
from eventkit.redaction import allowed
from notifier.testing import PostOffice, post_office
from plan_tracker.domain.plan import load_plan
from roster.files import GuardianRow, PupilRow, StaffRow, read_roster
from tests import record
from tests.provider import CLIENT, REDIRECT, Provider, answering, flat
from tests.witnessed import ABORTS, BREAKS
from vekha.main import main
from vekha.story import samples
from vekha.testing import BINARY, Outcome, Up, running
from workdays.russia import russian_calendar

SCHOOL = "school-7"
FILES = ("school-staff.xlsx", "school-pupils.xlsx", "school-pupils-late.xlsx", "school-newcomer.csv", "school-pupils-broken.csv")
MAIL_FROM = "vekha@example.org"
CODES_GIVEN_AT = "2015-09-02T10:00:00+03:00"
CLIENT_SECRET = "Пароль клиента: t0p-secret-of-the-client"
PLACES = ("logs", "traces", "outputs", "bus", "databases", "run folder", "metadata of slips", "metadata of consents")

# ---- what is looked for, and how ----------------------------------------------------------------------------------------------

_ESCAPED = re.compile(r"\\+u([0-9a-fA-F]{4})")
_WORD = re.compile(r"[\u0400-\u04ff]{3,}")  # shorter ones come about by chance in what is sealed
_ISO_DATE = re.compile(r"([0-9]{4})[-/.]([0-9]{2})[-/.]([0-9]{2})")
_WRITTEN_DATE = re.compile(r"(?<![0-9])([0-9]{2})[-/.]([0-9]{2})[-/.]([0-9]{4})")  # in a database ISO dates stand side by side
_SHORT_DATE = re.compile(r"(?<![0-9A-Za-z-])([0-9]{8})(?![0-9A-Za-z-])")
_BEFORE_AT, _AFTER_AT = re.compile(r"[\w.+-]+$"), re.compile(r"[\w-]+\.[\w.-]+")
_DIGITS = re.compile(r"[0-9][0-9 ()-]{8,18}[0-9]")
_ID = re.compile(r"[УР][0-9]{4}(?![0-9])")
_QUOTED_NUMBER = re.compile(r'"([0-9]{3})"')  # the staff's ids are short, so they count only where they are a whole value
_CONSENT = re.compile(r"С-[0-9]{4}-[0-9]{4}")
_CODE = re.compile(r"(?<![A-Z0-9])[A-Z2-9]{4}-?[A-Z2-9]{4}-?[A-Z2-9]{4}(?![A-Z0-9])")
_TOKEN = re.compile(r"https://portal\.example/activate#(\S+)")
_PHONE_DIGITS, _SNILS_DIGITS = 10, 11
_DAY = timedelta(days=1)
_SCHOOL_LIFE_ENDS = date(2016, 8, 31)


def traces(text: str) -> set[str]:
    """Everything in a text that has the form of something personal, in one way of writing."""
    text = _ESCAPED.sub(lambda escaped: chr(int(escaped[1], 16)), text)
    found = {word.casefold() for word in _WORD.findall(text)}
    found |= {"-".join(parts) for parts in _ISO_DATE.findall(text)} | {"-".join(reversed(parts)) for parts in _WRITTEN_DATE.findall(text)}
    for run in _SHORT_DATE.findall(text):
        found |= {f"{run[:4]}-{run[4:6]}-{run[6:]}", f"{run[4:]}-{run[2:4]}-{run[:2]}"}
    for before, after in pairwise(text.split("@")):
        if (name := _BEFORE_AT.search(before[-64:])) and (host := _AFTER_AT.match(after[:64])):
            found.add(f"{name[0]}@{host[0]}".casefold())
    for run in _DIGITS.findall(text):
        digits = re.sub(r"[^0-9]", "", run)
        for length in (_PHONE_DIGITS, _SNILS_DIGITS):
            found |= {digits[at : at + length] for at in range(len(digits) - length + 1)}
    found |= {*_ID.findall(text), *(f'"{number}"' for number in _QUOTED_NUMBER.findall(text)), *_CONSENT.findall(text)}
    return found | {code.replace("-", "") for code in _CODE.findall(text)}


@dataclass
class Personal:
    """What is personal in the files, in the writing of `traces`, and what it is."""

    known: dict[str, str] = field(default_factory=dict[str, str])
    secrets: dict[str, str] = field(default_factory=dict[str, str])
    """Secrets of any form in each of the writings in which one could stand somewhere, and what they are."""
    born_on: set[date] = field(default_factory=set[date])

    def add(self, row: PupilRow | GuardianRow | StaffRow) -> None:
        for name in (row.last_name, row.first_name, row.patronymic):
            self._know("name", traces(name or ""))
        self._know("e-mail", traces(row.email or ""))
        self._know("СНИЛС", {row.snils} if row.snils else ())
        self._know("consent number", traces(row.consent_number or ""))
        if isinstance(row, StaffRow):
            self._know("external id", {f'"{row.external_id}"'})
        else:
            self._know("external id", traces(row.external_id or ""))
        if isinstance(row, PupilRow):
            self._know("birth date", {row.born_on.isoformat()})
            self.born_on.add(row.born_on)
            for guardian in row.guardians:
                self.add(guardian)
        elif row.phone:
            self._know("telephone number", {row.phone[-_PHONE_DIGITS:]})

    def add_rejected(self, cells: Mapping[str, str]) -> None:
        for title in ("Фамилия*", "Имя*", "Отчество", "Родитель 1: Фамилия*", "Родитель 1: Имя*"):
            self._know("name", traces(cells[title]))
        self._know("external id", traces(cells["ID*"]))
        self._know("consent number", traces(cells["Согласие №"]))

    def add_codes(self, codes: Iterable[str]) -> None:
        self._know("code", {code.replace("-", "") for code in codes})

    def add_links(self, tokens: Iterable[str]) -> None:
        for token in tokens:
            self.add_secrets("link", _writings(token.rpartition(".")[2]))

    def add_typed(self, kind: str, *values: str) -> None:
        """Secrets that somebody types or keeps in a file, in any letters."""
        for value in values:
            self.add_secrets(kind, {*_writings(value), json.dumps(value)[1:-1]})

    def add_secrets(self, kind: str, values: Iterable[str]) -> None:
        """Secrets of any form, which are found as they are: passwords, tokens, keys."""
        self.secrets |= dict.fromkeys(values, kind)

    def add_birthdays(self) -> None:
        """The days on which somebody comes of an age that the law knows, but for those that are told for other reasons: the ends of months,
        those of the school's life and the machine's, and what the pinned calendars list."""
        days = {_birthday(born, age) for born in self.born_on for age in (14, 18)}
        for week in (5, 6):
            calendar = russian_calendar(range(2015, 2036), week)
            days -= {*calendar.off, *calendar.work}
        today = datetime.now(UTC).date()
        days = {day for day in days if day > _SCHOOL_LIFE_ENDS and (day + _DAY).day != 1 and abs(day - today) > 7 * _DAY}
        self._know("birthday", (str(day) for day in days))

    def leave_out(self, told: Iterable[str]) -> None:
        """What stands in our own texts, or is the day of something that events may tell, gives nobody away."""
        for one in told:
            self.known.pop(one, None)

    def count(self, what: str) -> int:
        return sum(kind == what for kind in (*self.known.values(), *self.secrets.values()))

    def found_in(self, text: str) -> dict[str, str]:
        secrets = {secret: kind for secret, kind in self.secrets.items() if secret in text}
        return secrets | {trace: self.known[trace] for trace in traces(text) & self.known.keys()}

    def _know(self, what: str, values: Iterable[str]) -> None:
        self.known |= dict.fromkeys(values, what)


def _writings(secret: str) -> list[str]:
    """A secret as it is, and packed with whatever stands beside it."""
    return [secret, *(base64.b64encode(b"-" * before + secret.encode())[4:-4].decode() for before in range(3))]


def _birthday(born: date, age: int) -> date:
    try:
        return born.replace(year=born.year + age)
    except ValueError:  # of who was born on a leap day
        return date(born.year + age, 3, 1)


def personal() -> Personal:
    result = Personal()
    public = traces(" ".join(step.title_ru for step in load_plan("mo-2015-school-portal").steps))
    for file in FILES:
        found = read_roster(samples() / file)
        for row in (*found.staff, *found.pupils):
            result.add(row)
            public.add((row.hired_on if isinstance(row, StaffRow) else row.enrolled_on).isoformat())
    with (samples() / "school-pupils-broken.csv").open(encoding="utf-8-sig", newline="") as file:
        for cells in csv.DictReader(file, delimiter=";"):  # the rows that cannot be read are people as well
            result.add_rejected(cells)
    result.add_birthdays()
    result.leave_out(public)
    return result


# ---- all that is left of an import --------------------------------------------------------------------------------------------


@dataclass
class Searched:
    """Where an instance that has stopped may have left anything; `may_show` are outputs of commands whose task it is to show it."""

    data: Path
    rejected: Path
    personal: Personal
    texts: dict[str, str] = field(default_factory=dict[str, str])
    files: list[bytes] = field(default_factory=list[bytes])
    may_show: str = ""
    mailed: str = ""
    ends: list[int] = field(default_factory=list[int])


class _Shell:
    """A second shell beside the running instance: what the commands print is kept."""

    def __init__(self, up: Up) -> None:
        self._data = up.data
        self.outputs: list[str] = []

    def type(self, *arguments: str | Path, code: int = 0, shown: bool = False) -> Outcome:
        out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.TextIOWrapper(io.BytesIO(), "utf-8")
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            ended = main([*(str(argument) for argument in arguments), "--data", str(self._data)])
        for stream in (out, err):
            stream.seek(0)
        outcome = Outcome(ended, out.read(), err.read())
        assert outcome.code == code, outcome
        if not shown:
            self.outputs += [outcome.out, outcome.err]
        return outcome

    def call(self, name: str, body: dict[str, Any], *options: str, code: int = 0, shown: bool = False) -> Any:
        """Makes a call; its reply, or None where it is expected to fail."""
        outcome = self.type("call", name, json.dumps(body, ensure_ascii=False), "--json", *options, code=code, shown=shown)
        return outcome.json["reply"] if code == 0 else None


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Searched:
    folder = tmp_path_factory.mktemp("canary")
    files = Path(shutil.copytree(samples(), folder / "files"))
    result = Searched(folder / "data", files / "school-pupils-broken-rejected.csv", personal())
    spans = folder / "spans"
    witnessed = (sys.executable, str(Path(__file__).with_name("witnessed.py")), str(spans))
    client_secret = folder / "client.secret"
    client_secret.write_text(f"{CLIENT_SECRET}\n")
    result.personal.add_typed("the client's secret", CLIENT_SECRET)
    provider = Provider(lambda: int(datetime.fromisoformat(CODES_GIVEN_AT).timestamp()), None, CLIENT_SECRET)
    with (
        _mail_server() as office,
        answering(provider),
        running(
            result.data,
            "--manual-clock",
            "2015-08-17T09:00:00+03:00",
            environment=_mailing_to(office) | _signing_on_at(provider, client_secret),
            program=witnessed,
        ) as up,
    ):
        for file in (result.data / "secrets").iterdir():
            result.personal.add_secrets("the instance's secret", [file.read_text().strip()])
        shell = _Shell(up)
        _live(shell, files, office, provider, result)
        result.texts["outputs"] = "\n".join([json.dumps(up.ready), *shell.outputs])
        assert up.end() == 0
    result.ends.append(_die_at_work(result.data, witnessed))
    result.texts["logs"] = up.log.read_text()
    result.texts["traces"] = spans.read_text()
    result.texts["bus"] = _text_of(result.data / "bus")
    result.texts["databases"] = "\n".join(
        [_text_of(result.data / "db"), _text_of(result.data / "keys"), *(_dump(result.data, service) for service in SERVICES)]
    )
    (configuration,) = (result.data / "run").glob("*.conf")
    assert configuration.stat().st_mode & 0o077 == 0
    configuration.unlink()  # the broker's password stands there and nowhere else
    result.texts["run folder"] = _text_of(result.data / "run")
    result.files = [file.read_bytes() for file in files.iterdir() if file.name in FILES]
    return result


@contextlib.contextmanager
def _mail_server() -> Generator[PostOffice]:
    """A mail server in a thread of its own."""
    loop, opened = asyncio.new_event_loop(), post_office()
    thread = Thread(target=loop.run_forever)
    thread.start()
    try:
        yield asyncio.run_coroutine_threadsafe(opened.__aenter__(), loop).result(10)
        asyncio.run_coroutine_threadsafe(opened.__aexit__(None, None, None), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _mailing_to(office: PostOffice) -> dict[str, str]:
    return {"VEKHA_SMTP_URL": office.url, "VEKHA_MAIL_FROM": MAIL_FROM}


def _signing_on_at(provider: Provider, client_secret: Path) -> dict[str, str]:
    return {
        "VEKHA_ESIA_ISSUER": provider.issuer,
        "VEKHA_ESIA_CLIENT_ID": CLIENT,
        "VEKHA_ESIA_CLIENT_SECRET_FILE": str(client_secret),
        "VEKHA_ESIA_REDIRECT_URI": REDIRECT,
    }


def _live(shell: _Shell, files: Path, office: PostOffice, provider: Provider, result: Searched) -> None:
    shell.call("roster.open-school", {"school": SCHOOL, "name": "School 7", "municipality": "mytishchi"})
    shell.type("plan", "adopt", "--school", SCHOOL, "--start", "2015-08-17")
    shell.type("import", files / "school-classes.xlsx", "--school", SCHOOL)
    shell.type("clock", "set", "2015-08-24T10:00:00+03:00")
    shell.type("import", files / "school-staff.xlsx", "--school", SCHOOL)
    shell.type("import", files / "school-pupils.xlsx", "--school", SCHOOL, "--json")
    shell.type("import", files / "school-pupils-late.xlsx", "--school", SCHOOL, "--dry-run")
    shell.type("import", files / "school-pupils-late.xlsx", "--school", SCHOOL)
    shell.type("import", files / "school-pupils-broken.csv", "--school", SCHOOL, code=3)
    shell.type("clock", "set", CODES_GIVEN_AT)
    shell.type("import", files / "school-newcomer.csv", "--school", SCHOOL)
    slips = _give_codes(shell, result)
    _choose_passwords(shell, slips[3:6], result)
    _sign_on(shell, provider, result)
    _mail_links(shell, office, result)
    _go_wrong(shell)
    shell.type("clock", "advance", "--days", "7")
    shell.type("plan", "status", "--school", SCHOOL)
    shell.type("plan", "explain", "--school", SCHOOL, "--step", "14")
    shell.type("events", "--json")
    shell.type("audit", "verify")
    shell.type("doctor")
    shell.call("notifier.outbox", {"school": SCHOOL})


def _give_codes(shell: _Shell, result: Searched) -> list[tuple[str, str]]:
    """Codes that are answered to a call, and used; answers pupils' logins and codes."""
    staff = shell.call("roster.people", {"school": SCHOOL, "kind": "staff"})["people"]
    pupils = shell.call("roster.people", {"school": SCHOOL, "kind": "pupil"})["people"]
    people = [*staff, *pupils[:100]]
    issuing = {"school": SCHOOL, "people": people}
    issued = shell.call("identity.issue-credentials", issuing, "--command-id", "slips", shown=True)["credentials"]
    slips = {one["person"]: (one["login"], one["code"]) for one in issued if one["code"]}
    assert len(slips) > 100
    result.personal.add_codes(code for _, code in slips.values())
    shell.call("identity.issue-credentials", issuing, "--command-id", "slips")  # told once: again there is no code in the answer
    shell.call("identity.hand-over", {"school": SCHOOL, "people": list(slips)})
    coded = [person for person in pupils if person in slips]  # somebody may have no consent, and no code
    for person in coded[:3]:
        login, code = slips[person]
        shell.call("identity.activate", {"login": login, "code": code})
        shell.call("identity.activate", {"login": login, "code": code}, code=1)
    _print_slips(shell, pupils[100:140], result)
    _print_consents(shell, staff, coded[0], result)
    result.may_show = json.dumps(shell.call("roster.person", {"school": SCHOOL, "person": coded[0]}, shown=True))
    consents = shell.call("consent.status", {"school": SCHOOL, "subject": coded[0]})["consents"]
    shell.call("consent.withdraw", {"school": SCHOOL, "consent_id": consents[-1]["consent_id"]})
    return [slips[person] for person in pupils[:100] if person in slips]


def _choose_passwords(shell: _Shell, slips: Sequence[tuple[str, str]], result: Searched) -> None:
    """Passwords of people's own: chosen, refused, shown, mistyped, changed."""
    for number, (login, code) in enumerate(slips):
        first, second, wrong = (f"{word} {number} зимой-Winter" for word in ("Снегирь", "Свиристель", "Щегол"))
        result.personal.add_typed("password", first, second, wrong, f"Зяблик{number}")
        shell.call("identity.activate", {"login": login, "code": code, "password": f"Зяблик{number}"}, code=1)
        shell.call("identity.activate", {"login": login, "code": code, "password": first})
        token = shell.call("identity.sign-in", {"login": login, "password": first}, shown=True)["token"]
        result.personal.add_secrets("token", [token, token.rpartition(".")[2]])
        shell.call("identity.sign-in", {"login": login, "password": wrong}, code=1)
        shell.call("identity.sign-in", {"login": login, "password": [wrong]}, code=3)
        shell.call("identity.change-password", {"login": login, "password": wrong, "new_password": second}, code=1)
        shell.call("identity.change-password", {"login": login, "password": first, "new_password": second})
        assert shell.call("identity.sign-in", {"login": login, "password": second}, shown=True)["token"]


def _sign_on(shell: _Shell, provider: Provider, result: Searched) -> None:
    """A member of staff signs in at the provider, which tells the СНИЛС; and once it does not answer any more."""
    provider.snils = next(row.snils for row in read_roster(samples() / "school-staff.xlsx").staff if row.snils)
    password = "Кедровка на ёлке"
    result.personal.add_typed("password", password)
    for is_down in (False, True):
        begun = shell.call("identity.begin-esia", {"school": SCHOOL}, shown=True)
        back = flat(urlsplit(httpx.get(begun["url"]).headers["Location"]).query)
        result.personal.add_secrets("state", _writings(back["state"]))
        result.personal.add_secrets("code of the provider's", _writings(back["code"]))
        provider.is_down = is_down
        finishing = {"code": back["code"], "state": back["state"], "password": password}
        shell.call("identity.finish-esia", finishing, code=int(is_down))


def _print_slips(shell: _Shell, people: list[str], result: Searched) -> None:
    """Codes that are read from printed slips, and used."""
    printing = {"school": SCHOOL, "people": people}
    reply = shell.call("identity.print-slips", printing, "--command-id", "printed", shown=True)
    shell.call("identity.print-slips", printing, "--command-id", "printed")  # told once: again there are no slips in the answer
    slips: Any = PdfReader(io.BytesIO(base64.b64decode(reply["pdf"])))
    text = "\n".join(page.extract_text() for page in slips.pages)
    found = re.findall(r"Логин\s+(\d{10})\s+Временный пароль\s+([A-Z2-9-]{14})", text)
    assert len(found) == len(reply["printed"]) > 30
    result.personal.add_codes(code for _, code in found)
    assert set(result.personal.found_in(text).values()) >= {"name", "code"}
    xmp = slips.trailer["/Root"]["/Metadata"].get_data().decode()
    result.texts["metadata of slips"] = f"{slips.metadata} {xmp} {slips.outline}"
    shell.call("identity.hand-over", {"school": SCHOOL, "people": reply["printed"]})
    for login, code in found[:3]:
        shell.call("identity.activate", {"login": login, "code": code})
        shell.call("identity.activate", {"login": login, "code": code}, code=1)


def _print_consents(shell: _Shell, staff: list[str], pupil: str, result: Searched) -> None:
    """Forms with names, and a receipt: both name people on the paper and nowhere in what describes it."""
    shell.call("consent.request", {"school": SCHOOL, "people": staff[:5]})
    printed = [
        shell.call("consent.forms", {"school": SCHOOL, "people": staff[:5]}, shown=True)["pdf"],
        shell.call("consent.receipt", {"school": SCHOOL, "subject": pupil, "pdf": True}, shown=True)["pdf"],
    ]
    told: list[str] = []
    for pdf in printed:
        opened: Any = PdfReader(io.BytesIO(base64.b64decode(pdf)))
        assert "name" in result.personal.found_in("\n".join(page.extract_text() for page in opened.pages)).values()
        told.append(f"{opened.metadata} {opened.trailer['/Root']['/Metadata'].get_data().decode()} {opened.outline}")
    result.texts["metadata of consents"] = "\n".join(told)
    shell.call("consent.receipt", {"school": SCHOOL, "subject": pupil})  # ids, codes and digests alone


def _links_sent(shell: _Shell) -> int:
    messages = shell.call("notifier.outbox", {"school": SCHOOL, "limit": 500})["messages"]
    return sum(row["template"] == "activation-link" and row["state"] != "queued" for row in messages)


def _mail_links(shell: _Shell, office: PostOffice, result: Searched) -> None:
    """Links that are read from the mails, and used; each stands in one mail, to one person."""
    guardians = shell.call("roster.people", {"school": SCHOOL, "kind": "guardian"})["people"][:40]
    sent = shell.type("links", "send", "--school", SCHOOL, "--json", *(f"--person={person}" for person in guardians)).json
    assert len(sent["prepared"]) > 10
    while _links_sent(shell) < len(sent["prepared"]):
        time.sleep(0.1)
    mails = [(recipients, str(_body(content))) for recipients, content in office.mails]
    result.mailed = "\n".join(body for _, body in mails)
    found = [(recipients, token) for recipients, body in mails for token in set(_TOKEN.findall(body))]
    assert len(found) == len({token for _, token in found}) == len(sent["prepared"])
    assert all(len(recipients) == 1 for recipients, _ in found)
    result.personal.add_links(token for _, token in found)
    for _, token in found[:3]:
        shell.call("identity.activate-link", {"token": token})
        shell.call("identity.activate-link", {"token": token}, code=1)
    shell.call("identity.activate-link", {"token": f"{found[4][1]}x"}, code=1)


def _body(content: bytes) -> Any:
    mail: Any = message_from_bytes(content, policy=policy.default)
    return mail.get_body(preferencelist=("plain",)).get_content()


def _go_wrong(shell: _Shell) -> None:
    """Calls whose bodies are full of names, and which are refused or cannot be read."""
    row = read_roster(samples() / "school-pupils.xlsx").pupils[1]
    details = {"last_name": row.last_name, "first_name": row.first_name, "birth_date": str(row.born_on), "snils": row.snils}
    staff = {"school": SCHOOL, "details": details, "position": "teacher", "hired_on": "2010-09-01", "external_id": "101"}
    shell.call("roster.hire-staff", staff, code=1)  # that id is another name's
    shell.call("roster.hire-staff", staff, "--as", "ministry", code=1)
    shell.call("roster.hire-staff", staff | {"school": "school-8"}, code=1)
    shell.call("roster.hire-staff", staff | {"details": details | {"birth_date": f"{row.last_name} 31.02.2001"}}, code=3)
    shell.call("roster.hire-staff", staff | {"surname": row.last_name}, code=3)
    shell.type("call", "roster.hire-staff", f'{{"details": "{row.last_name} {row.first_name}', code=3)
    decision = {"granted": False, "subject_kind": "pupil", "number": row.consent_number, "person": "p-1"}
    shell.call("consent.record-decision", {"school": SCHOOL, "decision": decision}, code=1)
    shell.call("identity.activate", {"login": row.snils, "code": row.last_name}, code=1)
    content = base64.b64encode(f"{row.last_name};{row.first_name};{row.born_on:%d.%m.%Y}".encode()).decode()
    part = {"school": SCHOOL, "upload": "u-1", "part": 1, "parts": 1, "file_name": f"{row.last_name}.xlsx", "content": content}
    shell.call("roster.upload", part)
    shell.call("roster.import", {"school": SCHOOL, "upload": "u-1"})

    staff |= {"external_id": "999", "details": details | {"last_name": BREAKS}}
    shell.call("roster.hire-staff", staff, code=1)


def _die_at_work(data: Path, witnessed: Sequence[str]) -> int:
    """How the process ends that dies of itself while it has somebody's details in its memory."""
    row = read_roster(samples() / "school-pupils.xlsx").pupils[1]
    details = {"last_name": ABORTS, "first_name": row.first_name, "birth_date": str(row.born_on), "snils": row.snils}
    staff = {"school": SCHOOL, "details": details, "position": "teacher", "hired_on": "2010-09-01", "external_id": "998"}
    with running(data, program=witnessed, environment={"PYTHONFAULTHANDLER": "1"}) as up:
        if sys.platform == "linux":
            for pid in (up.process.pid, up.broker_pid):
                assert re.search(r"Max core file size +[01] +[01] ", Path(f"/proc/{pid}/limits").read_text())
        hiring = [str(BINARY), "call", "roster.hire-staff", json.dumps(staff), "--data", str(data)]
        with subprocess.Popen(hiring, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as caller:
            ended = up.process.wait(60)
            caller.kill()
    return ended


def _text_of(folder: Path) -> str:
    """Every file of a folder as it lies on the disk; what is no text in it becomes signs that no word has."""
    return "\n".join(path.read_bytes().decode(errors="replace") for path in sorted(folder.rglob("*")) if path.is_file())


def _dump(data: Path, service: str) -> str:
    """Every row of every table, a JSON array a line: on the disk a long value may be cut in two by the end of a page."""
    with closing(sqlite3.connect(f"file:{data / 'db' / f'{service}.db'}?mode=ro", uri=True)) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        rows = (row for table in tables for row in database.execute(f'SELECT * FROM "{table}"'))
        return "\n".join(json.dumps([_cell(value) for value in row], ensure_ascii=False) for row in rows)


def _cell(value: object) -> object:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


# ---- the search ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", PLACES)
def test_nothing_personal_is_left_in(searched: Searched, place: str) -> None:
    assert searched.personal.found_in(searched.texts[place]) == {}


@pytest.mark.parametrize("place", PLACES)
def test_no_piece_of_an_uploaded_file_is_left_in(searched: Searched, place: str) -> None:
    for content in searched.files:
        for at in range(len(content) // 4, len(content) - 60, len(content) // 4):
            packed = base64.b64encode(content[at - at % 3 : at - at % 3 + 60]).decode()
            assert packed not in searched.texts[place]
    stored = b"".join(path.read_bytes() for path in searched.data.rglob("*") if path.is_file())
    for content in searched.files:
        assert content[len(content) // 2 :][:60] not in stored


def test_the_letter_of_a_class_is_the_only_word_in_the_record(searched: Searched) -> None:
    for service, messages in record.logs(searched.data).items():
        assert sum(len(data) for _, _, data in messages) > 0
        for position, _, data in messages:
            assert not re.search(r"[\u0400-\u04ff]{2}", data.decode()), (service, position)


def test_a_process_that_dies_at_its_work_says_where_and_no_more(searched: Searched) -> None:
    assert searched.ends == [-signal.SIGABRT]
    logged = searched.texts["logs"]
    assert "Fatal Python error: Aborted" in logged
    told = [json.loads(line) for line in logged.splitlines() if line.startswith("{")]
    accidents = {
        line["event"]: line for line in told if line["event"] in ("call.failed", "thread.crashed", "python.warned", "library.spoke")
    }
    assert accidents["call.failed"]["error"] == accidents["thread.crashed"]["error"] == "RuntimeError"
    assert accidents["python.warned"]["error"] == "UserWarning"
    assert accidents["library.spoke"]["logger"] == "sqlalchemy.pool"


def test_every_line_of_the_log_is_of_a_form_that_is_allowed(searched: Searched) -> None:
    lines = searched.texts["logs"].partition("Fatal Python error")[0].splitlines()
    told = [json.loads(line) for line in lines]
    assert len(told) > 5
    for line in told:
        assert allowed(line) == line
        assert not any(str(value).startswith("<") for value in line.values()), line


def test_no_number_in_the_record_is_a_birth_date_counted_in_days_or_seconds(searched: Searched) -> None:
    days = {(born - date(1970, 1, 1)).days for born in searched.personal.born_on}
    counted = days | {day * 86_400 for day in days} | {day * 86_400_000 for day in days}
    for service, messages in record.logs(searched.data).items():
        for event in record.events(messages):
            numbers = {int(number) for number in re.findall(r"(?<![0-9A-Za-z.-])[0-9]{4,13}(?![0-9A-Za-z.-])", json.dumps(event.facts()))}
            assert not numbers & counted, (service, event.type)


def test_no_consent_ends_on_a_day_that_tells_a_birthday(searched: Searched) -> None:
    facts = [event.facts()[1] for event in record.events(record.logs(searched.data)["consent"])]
    ends = [date.fromisoformat(fact["valid_until"]) for fact in facts if fact.get("valid_until")]
    assert len(ends) > 500
    assert {(end + _DAY).day for end in ends} == {1}


# ---- the search itself --------------------------------------------------------------------------------------------------------


def test_there_is_enough_to_look_for(searched: Searched) -> None:
    assert searched.personal.count("name") > 500
    assert searched.personal.count("birth date") > 400
    assert searched.personal.count("birthday") > 400
    assert searched.personal.count("the instance's secret") == len(list((searched.data / "secrets").iterdir()))
    assert searched.personal.count("e-mail") > 500
    assert searched.personal.count("telephone number") > 500
    assert searched.personal.count("СНИЛС") > 500
    assert searched.personal.count("external id") > 1500
    assert searched.personal.count("consent number") > 1500
    assert searched.personal.count("code") > 100
    assert searched.personal.count("link") > 40
    assert searched.personal.count("password") > 50
    assert searched.personal.count("token") == 6
    assert searched.personal.count("state") == searched.personal.count("code of the provider's") == 8
    assert searched.personal.count("the client's secret") == 5


def test_the_search_finds_people_where_they_are_meant_to_be(searched: Searched) -> None:
    assert set(searched.personal.found_in(searched.rejected.read_text(encoding="utf-8-sig")).values()) >= {"name", "consent number"}
    assert set(searched.personal.found_in(searched.may_show).values()) >= {"name", "birth date"}
    assert "link" in searched.personal.found_in(searched.mailed).values()


def _ways_to_leak() -> Iterator[tuple[str, str]]:
    row = read_roster(samples() / "school-pupils.xlsx").pupils[0]
    name, guardian = row.last_name or "", row.guardians[0]
    yield "in an event", json.dumps({"data": {"person": "p-1", "name": name}}, ensure_ascii=False)
    yield "escaped", json.dumps({"data": {"name": name}})
    yield "escaped twice", json.dumps(json.dumps({"name": name}))
    yield "in capitals", name.upper()
    yield "among bytes that are no text", (b"\xd0\x00\xff\x90" + name.encode() + b"\xd0").decode(errors="replace")
    yield "the first name alone", f"hired {row.first_name}."
    yield "a date in ISO", f'"born_on":"{row.born_on}"'
    yield "a date as it is written by hand", f"{row.born_on:%d.%m.%Y}"
    yield "a date with strokes", f"{row.born_on:%d/%m/%Y}"
    yield "a date without signs", f"on {row.born_on:%Y%m%d},"
    yield "a date without signs, the day first", f"on {row.born_on:%d%m%Y},"
    yield "the day of coming of age", f'"ends":"{_birthday(row.born_on, 18)}"'
    yield "an e-mail", f"<{row.email}>"
    yield "an insurance number in groups", f"{row.snils[:3]}-{row.snils[3:6]}-{row.snils[6:9]} {row.snils[9:]}" if row.snils else ""
    yield "a telephone number in groups", f"8 ({(guardian.phone or '')[2:5]}) {(guardian.phone or '')[5:8]}-{(guardian.phone or '')[8:]}"
    yield "an external id", f"row {row.external_id}: unknown"
    yield "a consent number", f"number={row.consent_number}"
    yield "a short external id as a value", '["staff", "101"]'


@pytest.mark.parametrize(("way", "text"), list(_ways_to_leak()), ids=[way for way, _ in _ways_to_leak()])
def test_the_search_finds_what_is_planted(way: str, text: str) -> None:
    assert personal().found_in(text), way


def test_the_search_finds_a_code_however_it_is_written() -> None:
    looking = Personal()
    looking.add_codes(["DFGJ-LNRV-W234"])
    assert looking.found_in("code DFGJ-LNRV-W234")
    assert looking.found_in('{"code":"DFGJLNRVW234"}')


def test_the_search_finds_a_link_however_it_is_written() -> None:
    looking = Personal()
    looking.add_links(["k-1.Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4"])
    assert looking.found_in('{"token":"k-1.Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4"}')
    for before in range(3):
        text = "x" * before + "https://portal.example/activate#k-1.Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4 once"
        assert looking.found_in(base64.b64encode(text.encode()).decode())


def test_the_search_finds_a_secret_of_any_form() -> None:
    looking = Personal()
    looking.add_secrets("password", ["правда-42!"])
    assert looking.found_in('{"typed":"правда-42!"}') == {"правда-42!": "password"}


def test_the_search_finds_what_was_typed_however_it_is_written() -> None:
    looking = Personal()
    looking.add_typed("password", "Правда о ёжике")
    for text in ("password=Правда о ёжике", json.dumps({"password": "Правда о ёжике"})):
        assert "password" in looking.found_in(text).values()
    for before in range(3):
        packed = base64.b64encode(b"x" * before + b"vekha:" + "Правда о ёжике".encode() + b" once").decode()
        assert "password" in looking.found_in(packed).values()
