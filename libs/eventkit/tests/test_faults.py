"""Fault points: dead on the wanted arrival, and nothing at all otherwise."""

import os
import signal
import subprocess
import sys

import pytest

PROGRAM = """
from eventkit.faults import reach
for arrival in range(1, 4):
    reach("relay.before-publish")
    print(arrival, flush=True)
"""

IN_A_THREAD = """
import os, threading
from eventkit.faults import reach
def work():
    reach("relay.before-publish")
    os.write(1, b"gone on")
thread = threading.Thread(target=work)
thread.start()
thread.join()
"""


def arrivals(fault: str | None) -> tuple[int, list[str]]:
    environment = {name: value for name, value in os.environ.items() if name != "VEKHA_FAULT"}
    if fault is not None:
        environment["VEKHA_FAULT"] = fault
    ended = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False)
    return ended.returncode, ended.stdout.split()


@pytest.mark.parametrize(("fault", "survived"), [("relay.before-publish", []), ("relay.before-publish:3", ["1", "2"])])
def test_the_process_dies_on_the_wanted_arrival(fault: str, survived: list[str]) -> None:
    assert arrivals(fault) == (-signal.SIGKILL, survived)


@pytest.mark.parametrize("fault", [None, "", "log.before-commit", "relay.before-publish:4"])
def test_otherwise_nothing_happens(fault: str | None) -> None:
    assert arrivals(fault) == (0, ["1", "2", "3"])


def test_the_process_freezes_where_it_was_asked_to_and_goes_on_when_it_is_told() -> None:
    environment = {**os.environ, "VEKHA_FAULT": "relay.before-publish:2:STOP"}
    with subprocess.Popen([sys.executable, "-c", PROGRAM], env=environment, stdout=subprocess.PIPE, text=True) as process:
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        os.kill(process.pid, signal.SIGCONT)
        assert process.communicate()[0].split() == ["1", "2", "3"]


def test_a_thread_that_is_not_the_main_one_does_not_go_on_while_the_process_freezes() -> None:
    environment = {**os.environ, "VEKHA_FAULT": "relay.before-publish:1:STOP"}
    for _ in range(10):
        with subprocess.Popen([sys.executable, "-c", IN_A_THREAD], env=environment, stdout=subprocess.PIPE) as process:
            _, status = os.waitpid(process.pid, os.WUNTRACED)
            assert process.stdout is not None
            os.set_blocking(process.stdout.fileno(), False)
            too_early = process.stdout.read()
            os.kill(process.pid, signal.SIGCONT)
            os.set_blocking(process.stdout.fileno(), True)
            assert (os.WIFSTOPPED(status), too_early, process.stdout.read()) == (True, None, b"gone on")
