"""The machine's clock jumps by days, forwards and back: recorded_at never runs backwards, and nothing is lost or said twice."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import msgspec
import pytest

from tests import record
from tests.conftest import Lived
from tests.load import Load
from tests.survival import Survival, answered, client_of
from vekha.testing import running

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]

_PROGRAM = """
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from eventkit.clock import RealClock
offset = Path(sys.argv.pop(1))
RealClock.now = lambda self: datetime.now(UTC) + timedelta(seconds=float(offset.read_text()))
from vekha.main import main
sys.exit(main())
"""


@pytest.mark.fault("the clock jumps by days, forwards and back")
@pytest.mark.parametrize("seed", range(2))
async def test_a_clock_that_jumps_by_days_loses_and_doubles_nothing(lived: Lived, tmp_path: Path, survival: Survival, seed: int) -> None:
    random = Random(seed)
    data, offset = lived.copy(tmp_path / "data", of_first_day=True), tmp_path / "offset"
    _run_by_the_machine(data)
    began = (datetime(2015, 8, 17, 15, tzinfo=UTC) - datetime.now(UTC)).total_seconds()
    jumps = [random.uniform(1, 6), -random.uniform(1, 4), random.uniform(4, 9), -random.uniform(2, 3), 10]
    offset.write_text(str(began))
    with running(data, program=[sys.executable, "-c", _PROGRAM, str(offset)]) as up:
        async with client_of(data) as client:
            load = await Load.on(client)

            async def fault() -> None:
                for days in jumps:
                    await answered(load, random.randint(5, 30))
                    _jump(offset, began + timedelta(days=days).total_seconds())
                await answered(load, 30)

            await load.run_until(client, asyncio.create_task(fault()))
            assert set(load.troubles) <= {"call.outcome-unknown"}
        await survival.check_live(data, load)
        assert up.end() == 0
    survival.check_stopped(data)
    for messages in record.logs(data).values():
        times = [event.recordedat for event in record.events(messages)]
        assert times == sorted(times)


def _run_by_the_machine(data: Path) -> None:
    """The instance of a folder goes on by the real clock."""
    about = data / "instance.json"
    about.write_bytes(msgspec.json.encode({**msgspec.json.decode(about.read_bytes()), "clock": "real"}))


def _jump(offset: Path, seconds: float) -> None:
    new = offset.with_suffix(".new")
    new.write_text(str(seconds))
    new.rename(offset)
