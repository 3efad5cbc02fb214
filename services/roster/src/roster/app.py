"""The roster service, put together."""

from __future__ import annotations

from eventkit.service import Service, Settings
from roster import api, exporting, tables, vault
from roster.book import Books
from roster.importing import job, jobs, uploads
from roster.projections import Consents


def build(settings: Settings) -> Service:
    service = Service(settings, tables.metadata, vault.metadata, uploads.metadata, job.metadata, exporting.metadata)
    books = Books(settings.secrets)
    service.projection(Consents())
    api.register(service, books)
    jobs.Imports(service, books).register()
    exporting.Exports(service, books).register()
    return service
