"""Puts the notifier together. Without a mail server messages stay in the outbox."""

from __future__ import annotations

from eventkit.service import Service, Settings
from notifier import api, outbox, policies, projections
from notifier.sender import MailServer, Sender, monitors


def build(settings: Settings) -> Service:
    service = Service(settings, outbox.metadata, policies.metadata)
    service.projection(projections.Schools())
    if settings.smtp_url is None:
        service.timer(policies.DailyMessages(service, wake=lambda: None))
    else:
        sender = Sender(service, MailServer.configured(settings.smtp_url, settings.mail_from), monitors(settings.monitors_file))
        service.timer(policies.DailyMessages(service, wake=sender.wake))
        service.at_start(sender.run)
    api.register(service)
    return service
