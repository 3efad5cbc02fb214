"""Runs the service in a process of its own."""

import sys

from consent.app import build
from eventkit.alone import main

sys.exit(main("consent", build))
