"""The roster service, put together."""

from __future__ import annotations

from eventkit.access import Known
from eventkit.service import Service, Settings
from roster import api, dossier, exporting, held, journal, reach, tables, vault
from roster.book import Books
from roster.importing import job, jobs, rolling_back, traces, uploads
from roster.projections import Consents


def build(settings: Settings) -> Service:
    importing = uploads.metadata, job.metadata, traces.metadata, rolling_back.metadata
    service = Service(settings, tables.metadata, vault.metadata, journal.metadata, *importing, exporting.metadata)
    books = Books(settings.secrets)
    service.projection(Consents())
    service.knows(Known(teaches=reach.teaches, children=reach.children))
    api.register(service, books)
    service.holds(held.place)
    service.holds(held.links)
    dossier.register(service, books.vault)
    jobs.Imports(service, books).register()
    exporting.Exports(service, books).register()
    return service
