"""Runs the service in a process of its own."""

import sys

from eventkit.alone import main
from roster.app import build

sys.exit(main("roster", build))
