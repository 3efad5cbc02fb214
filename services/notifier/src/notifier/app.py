"""Puts the notifier together. Without a mail server messages stay in the outbox."""

from __future__ import annotations

from contracts.erasure import NotifierDataErased
from eventkit.erasure import Forgetting
from eventkit.migrations import Migrations
from eventkit.service import Service, Settings
from notifier import api, erasing, held, links, outbox, policies, projections, reissues, restoring
from notifier.sender import MailServer, Sender, monitors

PRIVATE = (outbox.metadata, policies.metadata)
"""What stands beside the log and is no fold of it."""

MIGRATIONS = Migrations("notifier")


def build(settings: Settings) -> Service:
    service = Service(settings, *PRIVATE, migrations=MIGRATIONS)
    service.projection(projections.Schools())
    Forgetting(service, NotifierDataErased, erasing.Recipients(*PRIVATE))
    wake = _stay_asleep
    if settings.smtp_url is not None:
        server = MailServer.configured(settings.smtp_url, settings.smtp_password, settings.mail_from)
        sender = Sender(service, server, monitors(settings.monitors_file))
        wake = sender.wake
        service.at_start(sender.run)
    service.timer(policies.DailyMessages(service, wake))
    service.reaction(links.QueueLinks(service, wake))
    service.reaction(links.TellIdentity(service))
    service.reaction(reissues.TellOwners(service, wake))
    service.holds(held.messages)
    service.restores(restoring.follow)
    api.register(service)
    return service


def _stay_asleep() -> None:
    """There is nobody to send anything."""
