"""Runs the service in a process of its own."""

import sys

from eventkit.alone import main
from plan_tracker.app import build

sys.exit(main("plan", build))
