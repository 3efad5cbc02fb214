"""Runs the service in a process of its own."""

import sys

from eventkit.alone import main
from notifier.app import build

sys.exit(main("notifier", build))
