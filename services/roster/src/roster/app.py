"""The roster service, put together."""

from __future__ import annotations

from contracts.erasure import RosterDataErased
from eventkit.access import Known
from eventkit.erasure import Forgetting
from eventkit.migrations import Migrations
from eventkit.service import Service, Settings
from roster import api, dossier, exporting, held, journal, likenesses, reach, restoring, tables, vault
from roster.book import Books
from roster.erasing import People
from roster.importing import job, jobs, reviews, rolling_back, traces, uploads
from roster.keys import Keys
from roster.projections import Consents

MIGRATIONS = Migrations("roster")


def build(settings: Settings) -> Service:
    importing = uploads.metadata, job.metadata, traces.metadata, rolling_back.metadata, reviews.metadata
    service = Service(settings, tables.metadata, vault.metadata, journal.metadata, *importing, exporting.metadata, migrations=MIGRATIONS)
    keys = Keys(settings.database_url)
    service.has_apart(keys.database)
    service.at_end(keys.close)
    books = Books(settings.secrets, keys)
    likenesses.register(service, books)
    service.projection(Consents())
    service.knows(Known(teaches=reach.teaches, children=reach.children))
    Forgetting(service, RosterDataErased, People(keys))
    service.restores(restoring.follow)
    api.register(service, books)
    service.holds(held.place)
    service.holds(held.links)
    service.holds(held.classes)
    service.holds(held.seats)
    service.holds(held.details)
    service.holds(held.imports)
    service.holds(held.reviews)
    dossier.register(service, books)
    jobs.Imports(service, books).register()
    exporting.Exports(service, books).register()
    return service
