"""The suites of what speaks to bus and database hold on the servers that a deployment runs as well as on the bundled ones."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from eventkit import testing_containers
from tests.containers.stack import ROOT, require_docker, require_image

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1800)]

_SUITES = ("libs/eventkit", "libs/vekha/tests/test_deployment.py", "tests/test_migrations.py")
_FAST = "not slow and not faults and not containers"


def test_the_suites_hold_on_the_images_of_bus_and_database() -> None:
    require_docker()
    require_image(testing_containers.NATS)
    require_image(testing_containers.POSTGRES)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", _FAST, "-k", "not sqlite", *_SUITES]
    environment = os.environ | {"VEKHA_TEST_SERVERS": "containers"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=1500, check=False)
    assert done.returncode == 0, done.stdout[-5000:]
