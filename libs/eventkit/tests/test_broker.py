"""The embedded nats-server: started, watched, stopped, and what stands in its way."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from nats.aio.client import Client
from nats.errors import Error as NatsError

from eventkit import broker as broker_module
from eventkit.broker import (
    BrokerError,
    Credential,
    EmbeddedBroker,
    PortInUse,
    SecretUnusable,
    StoreInUse,
    StoreMissing,
    StoreNotWritable,
    bytes_cut,
    copy_and_open,
)
from eventkit.jetstream import JetStream, connect
from eventkit.provision import BusStream, provision
from eventkit.testing_servers import make_broker

SCHOOLS = BusStream("schools")


async def store_one_event(broker: EmbeddedBroker) -> None:
    nc = await connect(broker.url, broker.credential, name="test")
    await provision(nc, [SCHOOLS])
    await nc.request("evt.schools.s1.opened.v1", b"event", timeout=5)
    await nc.close()


async def stored_events(broker: EmbeddedBroker) -> int:
    nc = await connect(broker.url, broker.credential, name="test")
    last = await JetStream(nc).last_sequence("SCHOOLS")
    await nc.close()
    return last


async def until_gone(pid: int) -> None:
    while Path(f"/proc/{pid}/stat").exists():
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return  # dead, and only waiting for whoever reaps orphans here
        await asyncio.sleep(0.02)


async def test_a_started_broker_keeps_what_it_acknowledged(tmp_path: Path) -> None:
    async with make_broker(tmp_path) as broker:
        await store_one_event(broker)
    async with make_broker(tmp_path) as broker:
        assert await stored_events(broker) == 1


async def test_a_free_port_is_kept_for_the_next_start_so_that_clients_find_the_server_again(tmp_path: Path) -> None:
    broker = make_broker(tmp_path)
    async with broker:
        first = broker.url
    async with broker:
        assert broker.url == first


async def test_only_the_holder_of_the_secret_gets_in(tmp_path: Path) -> None:
    async with make_broker(tmp_path) as broker:
        stranger = Client()
        with pytest.raises(NatsError, match="Authorization Violation"):
            await stranger.connect(broker.url, user=broker.credential.user, password="not-the-password", allow_reconnect=False)


async def test_the_secret_stands_on_no_command_line_and_in_no_file_that_others_can_read(tmp_path: Path) -> None:
    async with make_broker(tmp_path) as broker:
        password = broker.credential.password.get_secret_value()
        assert password not in Path(f"/proc/{broker.pid}/cmdline").read_text()
        assert password not in repr(broker.credential)
        holders = [file for file in (tmp_path / "nats-run").iterdir() if password.encode() in file.read_bytes()]
        assert [file.name for file in holders] == ["nats-server.conf"]
        assert holders[0].stat().st_mode & 0o077 == 0


async def test_it_listens_to_this_machine_alone(tmp_path: Path) -> None:
    async with make_broker(tmp_path) as broker:
        listening = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        addresses = {fields[1] for fields in listening if int(fields[1].partition(":")[2], 16) == broker.port and fields[3] == "0A"}
        assert addresses == {f"0100007F:{broker.port:04X}"}


async def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortInUse, match=str(port)) as refusal:
            await make_broker(tmp_path, port).start()
    assert refusal.value.code == "port.in-use"


async def test_a_store_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "nats-store").write_text("a file where the folder should be")
    with pytest.raises(StoreNotWritable, match="nats-store") as refusal:
        await make_broker(tmp_path).start()
    assert refusal.value.code == "store.not-writable"


async def test_two_servers_never_share_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_module, "_LOCK_TIMEOUT_S", 0.1)
    async with make_broker(tmp_path) as broker:
        with pytest.raises(StoreInUse):
            await make_broker(tmp_path).start()
        await store_one_event(broker)


async def test_a_server_that_refuses_its_configuration_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_module, "MAX_PAYLOAD_BYTES", '"nonsense"')
    with pytest.raises(BrokerError, match=r"nats-server\.conf:3"):
        await make_broker(tmp_path).start()


@pytest.mark.parametrize("content", ["", "short", "two\nlines-of-it-here", "русский-пароль-длинный"])
def test_a_secret_file_that_cannot_serve_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "secret").write_text(content)
    with pytest.raises(SecretUnusable):
        Credential.read(tmp_path / "secret")


def test_a_missing_secret_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SecretUnusable, match="Put the file back"):
        Credential.read(tmp_path / "secret")


async def test_a_folder_with_an_unusual_name_serves_as_well(tmp_path: Path) -> None:
    folder = tmp_path / 'школа "№ 5" $HOME # {}'
    folder.mkdir()
    async with make_broker(folder) as broker:
        await store_one_event(broker)
    assert (folder / "nats-store" / "jetstream").is_dir()


async def test_an_unexpected_end_is_noticed(tmp_path: Path) -> None:
    broker = make_broker(tmp_path)
    await broker.start()
    os.kill(broker.pid, signal.SIGKILL)
    assert await broker.exited() == -signal.SIGKILL
    await broker.stop()


async def test_after_a_kill_it_starts_again_on_the_same_port_with_the_same_events(tmp_path: Path) -> None:
    broker = make_broker(tmp_path)
    await broker.start()
    port = broker.port
    await store_one_event(broker)
    os.kill(broker.pid, signal.SIGKILL)
    await broker.exited()
    await broker.start()
    assert (broker.port, await stored_events(broker)) == (port, 1)
    await broker.stop()


async def test_a_kill_of_its_parent_leaves_no_orphan_and_the_store_free(tmp_path: Path) -> None:
    program = """
import asyncio, sys, time
from pathlib import Path
from eventkit.testing_servers import make_broker
broker = make_broker(Path(sys.argv[1]))
asyncio.run(broker.start())
print(broker.pid, flush=True)
time.sleep(600)
"""
    parent = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE)  # noqa: ASYNC220 - a short start
    assert parent.stdout
    orphan = int(await asyncio.to_thread(parent.stdout.readline))
    parent.kill()
    parent.wait()
    parent.stdout.close()
    async with make_broker(tmp_path) as broker:
        await store_one_event(broker)
    await until_gone(orphan)


async def test_a_copy_is_read_by_a_private_server_and_the_original_stays_as_it_is(tmp_path: Path) -> None:
    async with make_broker(tmp_path) as broker:
        await store_one_event(broker)
    store = tmp_path / "nats-store"
    before = {file: file.read_bytes() for file in store.rglob("*") if file.is_file()}
    async with copy_and_open(store) as copy:
        assert await stored_events(copy) == 1
        await store_one_event(copy)
    assert {file: file.read_bytes() for file in store.rglob("*") if file.is_file()} == before


@pytest.mark.parametrize("damage", [False, True])
async def test_a_stream_that_the_server_cuts_on_opening_is_told_from_one_that_is_merely_behind(tmp_path: Path, damage: bool) -> None:
    broker = make_broker(tmp_path)
    await broker.start()
    for _ in range(3):
        await store_one_event(broker)
    os.kill(broker.pid, signal.SIGKILL)  # so that it leaves no index
    await broker.stop()
    block = next((tmp_path / "nats-store").rglob("1.blk"))
    content = block.read_bytes()
    at = content.index(b"event", len(content) // 3)
    if damage:
        block.write_bytes(content[:at] + b"E" + content[at + 1 :])
    async with copy_and_open(tmp_path / "nats-store") as copy:
        assert await stored_events(copy) == (1 if damage else 3)
        assert list(bytes_cut(tmp_path / "nats-store", copy)) == (["SCHOOLS"] if damage else [])


async def test_a_store_in_use_is_not_copied(tmp_path: Path) -> None:
    async with make_broker(tmp_path):
        with pytest.raises(StoreInUse):
            async with copy_and_open(tmp_path / "nats-store"):
                pass


async def test_a_store_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreMissing):
        async with copy_and_open(tmp_path / "nats-store"):
            pass
