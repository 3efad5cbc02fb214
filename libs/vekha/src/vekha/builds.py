"""The five services, by their names on the bus."""

from __future__ import annotations

import consent.app
import identity.app
import notifier.app
import plan_tracker.app
import roster.app
from eventkit.instance import Build

BUILDS: dict[str, Build] = {
    "roster": roster.app.build,
    "consent": consent.app.build,
    "identity": identity.app.build,
    "plan": plan_tracker.app.build,
    "notifier": notifier.app.build,
}
