"""No secret shows where an object that holds one is printed, logged, or stands among the variables of a traceback."""

from __future__ import annotations

import base64
import json
import logging
import traceback
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog
from pydantic import SecretStr
from sqlalchemy.engine import make_url

from eventkit import telemetry
from eventkit.broker import Credential, EmbeddedBroker
from eventkit.calls import CallReply, CallRequest
from eventkit.clock import RealClock
from eventkit.database import Database
from eventkit.secrets import Secrets
from eventkit.service import Service, Settings
from eventkit.tokens import Tokens
from notifier.sender import MailServer
from vekha.client import Target
from vekha.folder import DataFolder

_PASSWORD, _TOKEN = "pass-word-of-the-database", "ey.a-token.of-somebody"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> DataFolder:
    folder = DataFolder(tmp_path_factory.mktemp("instance") / "data")
    with folder.hold():
        folder.make(None)
    return folder


@pytest.fixture(scope="module")
def holders(folder: DataFolder) -> list[Any]:
    """An object of each class that settings and secrets go through."""
    secrets = folder.secrets()
    credential = Credential.read(secrets.broker_password_file)
    url = make_url(f"postgresql+psycopg://vekha:{_PASSWORD}@127.0.0.1/none")
    settings = Settings(
        name="notifier",
        database_url=url,
        nats_url="nats://127.0.0.1:1",
        nats_credential=credential,
        secrets=secrets,
        clock=RealClock(),
        smtp_url="smtp://vekha@127.0.0.1",
        smtp_password=SecretStr(_PASSWORD),
    )
    return [
        secrets,
        credential,
        settings,
        Service(settings),
        Database(url, "notifier"),
        MailServer.configured("smtp://vekha@127.0.0.1", SecretStr(_PASSWORD), "vekha@example.org"),
        Tokens("notifier", secrets.signing_key("notifier"), secrets.public_keys(), RealClock()),
        EmbeddedBroker(folder.bus, folder.run, secrets.broker_password_file),
        Target(folder),
        CallRequest(body=msgspec.Raw(json.dumps({"password": _PASSWORD}).encode()), token=_TOKEN),
        CallReply(reply=msgspec.Raw(json.dumps({"password": _PASSWORD}).encode())),
    ]


@pytest.fixture(scope="module")
def secrets(folder: DataFolder) -> list[str]:
    """Each secret in the ways in which it could be shown."""
    kept = [file.read_text().strip() for file in folder.secrets_folder.iterdir()]
    keys = [base64.urlsafe_b64decode(key) for key in kept if len(key) == 44]
    derived = Secrets(folder.secrets_folder).key("vault")
    return [_PASSWORD, _TOKEN, *kept, *(shown for key in (*keys, derived) for shown in (key.hex(), repr(key)[2:-1]))]


def _hidden(secrets: list[str], shown: str) -> bool:
    return not [secret for secret in secrets if secret in shown]


def test_printing_an_object_shows_no_secret(holders: list[Any], secrets: list[str]) -> None:
    assert len(secrets) > 15
    for holder in holders:
        assert _hidden(secrets, f"{holder} {holder!r} {vars(holder) if hasattr(holder, '__dict__') else ''}"), type(holder)


def test_a_traceback_with_its_variables_shows_no_secret(holders: list[Any], secrets: list[str]) -> None:
    def fail(holder: object) -> None:
        raise RuntimeError(str(holder))

    for holder in holders:
        with pytest.raises(RuntimeError) as failed:
            fail(holder)
        told = "".join(traceback.TracebackException.from_exception(failed.value, capture_locals=True).format())
        # The frames of this test know the secrets themselves; the failing one knows the holder alone.
        assert _hidden(secrets, told[told.index("in fail") :]), type(holder)


def test_logging_an_object_shows_no_secret(holders: list[Any], secrets: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.set_up()
    try:
        for holder in holders:
            structlog.get_logger("test").warning("holder.logged", code=holder, text=str(holder), secret=_PASSWORD, at=[_TOKEN])
            logging.getLogger("test").warning("%s %s", holder, _PASSWORD)
    finally:
        structlog.reset_defaults()
    logged = capsys.readouterr().err
    assert len(logged.splitlines()) == 2 * len(holders)
    assert _hidden(secrets, logged)


def test_the_password_for_the_mail_server_is_read_from_its_file_alone(folder: DataFolder, tmp_path: Path) -> None:
    file = folder.secrets_folder / "smtp.password"
    assert folder.smtp_password() is None
    file.touch(mode=0o600)
    file.write_text(f"{_PASSWORD}\n")
    try:
        found = folder.smtp_password()
    finally:
        file.unlink()
    assert found is not None
    assert found.get_secret_value() == _PASSWORD
