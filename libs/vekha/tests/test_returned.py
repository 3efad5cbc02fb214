"""Reports of mail that did not arrive, as mail systems write them."""

from __future__ import annotations

import pytest

from vekha.returned import Returned, returned

MESSAGE = "62c66a7a5dd70c3146618063c344e531"


def report(status: str = "", *, original: str = "message/rfc822", message_id: str = f"<{MESSAGE}@example.org>", form: str = "") -> bytes:
    status = status or "Action: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1 <mother@example.org> unknown"
    return f"""From: MAILER-DAEMON@mx.example.net
To: vekha@example.org
Subject: Undelivered Mail Returned to Sender
Auto-Submitted: auto-replied
Message-ID: <20150818.1@mx.example.net>
MIME-Version: 1.0
Content-Type: {form or 'multipart/report; report-type=delivery-status; boundary="=b"'}

--=b
Content-Type: text/plain

I am sorry to have to inform you that your message could not be delivered.

--=b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.net
Arrival-Date: Tue, 18 Aug 2015 09:00:00 +0300

Final-Recipient: rfc822; mother@example.org
{status}

--=b
Content-Type: {original}

From: vekha@example.org
To: mother@example.org
Message-ID: {message_id}
Subject: Activate your account

https://portal.example/activate#k-1.secret
--=b--
""".encode()


@pytest.mark.parametrize("original", ["message/rfc822", "text/rfc822-headers"])
def test_a_report_with_the_message_or_with_its_headers_tells_which_it_was_and_the_servers_answer(original: str) -> None:
    assert returned(report(original=original)) == Returned(MESSAGE, 550)


def test_a_report_without_a_servers_own_answer_tells_the_class_of_the_failure() -> None:
    assert returned(report("Action: Failed\nStatus: 5.2.2")) == Returned(MESSAGE, 550)


@pytest.mark.parametrize(
    "other",
    [
        report("Action: delayed\nStatus: 4.4.1\nDiagnostic-Code: smtp; 451 later"),
        report("Action: relayed\nStatus: 2.0.0"),
        report(message_id="<somebody-elses@example.org>"),
        report(form="text/plain"),
        b"Subject: Out of office\n\nI am away.",
        b"\xff\xfe\x00",
        b"",
    ],
    ids=["delayed", "relayed", "not ours", "no report", "an absence", "no mail", "nothing"],
)
def test_nothing_else_is_taken_for_a_message_that_came_back(other: bytes) -> None:
    assert returned(other) is None
