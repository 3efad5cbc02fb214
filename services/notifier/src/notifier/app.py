"""Puts the notifier together. Without a mail server messages stay in the outbox."""

from __future__ import annotations

from eventkit.service import Service, Settings
from notifier import api, outbox, policies, projections
from notifier.sender import MailServer, Sender


def build(settings: Settings) -> Service:
    service = Service(settings, outbox.metadata)
    service.projection(projections.Officers())
    if settings.smtp_url is None:
        service.reaction(policies.Notices(service, queued=lambda: None))
    else:
        sender = Sender(service, MailServer.configured(settings.smtp_url, settings.mail_from))
        service.reaction(policies.Notices(service, queued=sender.wake))
        service.at_start(sender.run)
    api.register(service)
    return service
