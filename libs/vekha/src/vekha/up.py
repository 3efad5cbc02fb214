"""`vekha up`: runs everything until Ctrl-C."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from datetime import datetime
from pathlib import Path

import click

from eventkit import otlp, telemetry
from eventkit.environment import VARIABLES
from eventkit.memory import look_for_garbage_seldom
from eventkit.process import leave_nothing_behind
from vekha import output
from vekha.folder import DataFolder, moment_of
from vekha.loop import run
from vekha.options import as_json_option, data_option


def _clock_at(_context: click.Context, _parameter: click.Parameter, value: str | None) -> datetime | None:
    try:
        return None if value is None else moment_of(value)
    except ValueError:
        raise click.BadParameter("give a date (2015-08-17) or RFC 3339 (2015-08-17T09:00:00+03:00)") from None


_VARIABLES = "\n\n".join(f"\b\n{name}\n  {what}" for name, what in VARIABLES.items())


@click.command(epilog=f"Environment variables, all of them optional:\n\n{_VARIABLES}")
@data_option
@click.option("--port", type=click.IntRange(1, 65535), help="Where the broker listens on 127.0.0.1. By default a free port.")
@click.option(
    "--manual-clock",
    metavar="TIME",
    callback=_clock_at,
    help="For demos and tests, when the folder is made: a clock that stands at TIME until `vekha clock` moves it.",
)
@as_json_option
def up(data: Path, port: int | None, manual_clock: datetime | None) -> None:
    """Run everything in one process until Ctrl-C.

    Prints one JSON line on stdout when ready, and logs JSON lines on stderr.
    """
    look_for_garbage_seldom()
    telemetry.set_up(processor=otlp.processor(os.environ))
    leave_nothing_behind()
    run(_run(DataFolder(data), port, manual_clock))


async def _run(folder: DataFolder, port: int | None, clock_at: datetime | None) -> None:
    from vekha.launcher import launched  # the five services, which no other command has to wait for

    stopping = _stop_signals()
    async with launched(folder, port=port, clock_at=clock_at) as instance:
        gc.freeze()  # what a start has made stays, and is not looked through again
        output.print_json({"ready": True, "nats": instance.url, "data": str(folder.root.absolute())})
        stopped = asyncio.create_task(stopping.wait())
        await asyncio.wait({stopped, instance.failed}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if instance.failed.done():
            raise instance.failed.result()


def _stop_signals() -> asyncio.Event:
    """Set by the first Ctrl-C or SIGTERM. A second one ends us at once."""
    loop, stopping = asyncio.get_running_loop(), asyncio.Event()

    def stop(number: signal.Signals) -> None:
        if stopping.is_set():
            os._exit(128 + number)
        stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop, number)
    return stopping
