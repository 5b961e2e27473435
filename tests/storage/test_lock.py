"""One process writes in a folder; others are told who, also on a disk that several machines share, and the dead do not hold it."""

import errno
import multiprocessing
import os
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import filelock
import pytest
from tiny import taken_over

from oreal_lib.storage import lock as lock_module
from oreal_lib.storage.lock import DEAD, Held, Lock, holder
from oreal_lib.storage.progress import lines_to

WAY = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
PROCESSES = multiprocessing.get_context(WAY)
if WAY == "forkserver":
    PROCESSES.set_forkserver_preload(["pytest", "oreal_lib.storage.lock"])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run" / "run.lock"


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    monkeypatch.setattr(lock_module, "BEAT", 0.1)


def hold(path, ready):
    with Lock(path).acquire():
        ready.set()
        time.sleep(600)


@pytest.fixture
def other(path):
    """Another process that holds the lock."""
    ready = PROCESSES.Event()
    process = PROCESSES.Process(target=hold, args=(path, ready), daemon=True)
    process.start()
    assert ready.wait(60)
    yield process
    kill(process)


def kill(process):
    process.kill()
    process.join()


def marker(path, age=0.0, process=1, machine="node7"):
    """The file of a holder on another machine, last touched `age` seconds ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"filelock/2\npid={process}\nhost={machine}\nmode=lease\ntoken=abc\nduration={DEAD!r}\n")
    touched(path, age)


def touched(path, age):
    os.utime(path, (time.time() - age,) * 2)


def test_the_holder_is_named_and_leaves_nothing(path):
    with Lock(path).acquire() as lock:
        lock.check()
        assert holder(path).startswith(f"process {os.getpid()} on ")
        with pytest.raises(Held, match=f"process {os.getpid()} on "):
            Lock(path).acquire()
    assert holder(path) == "" and list(path.parent.iterdir()) == []


def test_another_process_is_refused_and_a_killed_one_frees_it_at_once(path, other):
    with pytest.raises(Held, match=rf"process {other.pid} on "):
        Lock(path).acquire()
    kill(other)
    assert holder(path) == ""
    with Lock(path).acquire():
        assert holder(path).startswith(f"process {os.getpid()} on ")


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="only Linux tells which files a process has open")
def test_a_copy_of_a_held_folder_is_free_and_the_folder_is_not(path, other, tmp_path):
    shutil.copytree(path.parent, tmp_path / "copy")
    assert Lock(tmp_path / "copy" / path.name).acquire().is_ours
    with pytest.raises(Held):
        Lock(path).acquire()


def test_whoever_waits_is_told_once_for_whom_and_gets_it(path, other):
    said = []
    with lines_to(lambda line: (said.append(line), threading.Timer(0.2, kill, [other]).start())):
        Lock(path).wait("the run is being computed", pause=0.01).release()
    (line,) = said
    assert line.startswith(f"the run is being computed by process {other.pid} on ") and line.endswith("; waiting until that ends")


def test_waiting_for_oneself_is_refused_and_another_thread_waits(path):
    first, got = Lock(path).acquire(), []
    with pytest.raises(RuntimeError, match="it is held in this process already"):
        Lock(path).wait("it is held")
    thread = threading.Thread(target=lambda: got.append(Lock(path).wait("it is held")))
    thread.start()
    first.release()
    thread.join(60)
    got[0].check()
    got[0].release()  # by another thread than took it


@pytest.mark.parametrize("exchange", [True, False], ids=["a disk of one's own", "a network drive"])
def test_a_holder_on_another_machine_is_taken_over_when_it_is_dead_and_not_before(path, exchange, monkeypatch):
    """Network drives cannot exchange two names, by which the lease takes over."""
    if not exchange:
        monkeypatch.setattr(filelock._soft, "exchange_names", lambda a, b: False)
    marker(path, age=DEAD - 5)
    with pytest.raises(Held, match="process 1 on node7"):
        Lock(path).acquire()
    assert holder(path) == "process 1 on node7"
    touched(path, DEAD + 1)
    assert holder(path) == ""
    with Lock(path).acquire() as lock:
        lock.check()
    assert list(path.parent.iterdir()) == []


def test_on_a_network_drive_a_killed_one_frees_it_a_minute_later(path, other, monkeypatch):
    monkeypatch.setattr(filelock._soft, "exchange_names", lambda a, b: False)
    kill(other)
    with pytest.raises(Held, match=f"process {other.pid} on "):
        Lock(path).acquire()
    touched(path, DEAD + 1)
    Lock(path).acquire().release()


def test_a_machine_that_has_just_woken_up_keeps_its_lock(path, monkeypatch):
    """After an hour of sleep the last sign of life is an hour old, until the next one."""
    monkeypatch.setattr(lock_module, "BEAT", 0.5)
    lock = Lock(path).acquire()
    touched(path, 3600)
    with pytest.raises(Held):
        Lock(path).acquire()
    lock.check()
    lock.release()


def test_whoever_was_taken_over_may_not_write_any_more_and_takes_nothing_back(path):
    sleeper = Lock(path).acquire()
    sleeper._lease._stop_heartbeat()
    touched(path, DEAD + 1)
    with Lock(path).acquire() as taken:
        with pytest.raises(OSError, match=rf"run may not be written any more: process {os.getpid()} on \S+ has taken over; end or"):
            sleeper.check()
        sleeper.release()
        taken.check()
    other = Lock(path).acquire()
    taken_over(path)
    with pytest.raises(OSError, match=r"process .* on node7 has taken over"):
        other.check()


@pytest.mark.parametrize("harm", ["moved", "drive pulled out", "released"])
def test_a_folder_that_is_gone_is_told_before_anything_is_written(path, harm):
    lock = Lock(path).acquire()
    if harm == "released":
        lock.release()
    else:
        path.parent.rename(path.parent.with_name("away"))
    if harm == "drive pulled out":
        path.parent.mkdir()  # the place at which the drive was
    with pytest.raises(OSError, match=r"run may not be written any more: it was moved or deleted, or its drive is not there"):
        lock.check()
    lock.release()


@pytest.mark.parametrize("content", ["", "filelock/2\npid=1"], ids=["empty", "torn"])
def test_a_file_that_names_nobody_holds_for_a_minute(path, content):
    """Such as `run.lock` of an earlier version, or after a power cut."""
    path.parent.mkdir()
    path.write_text(content)
    path.with_name("run.holder").write_text('{"process": 1}')
    with pytest.raises(Held, match="another process"):
        Lock(path).acquire()
    assert holder(path) == "another process"
    touched(path, DEAD + 1)
    assert holder(path) == ""
    Lock(path).acquire().release()


def test_of_many_that_want_what_a_dead_one_left_one_gets_it(path):
    start = threading.Barrier(4)

    def take(_):
        start.wait()
        with suppress(Held):
            return Lock(path).acquire()

    for _ in range(3):
        marker(path, age=DEAD + 1)
        with ThreadPoolExecutor(4) as pool:
            got = [lock for lock in pool.map(take, range(4)) if lock]
        assert sum(lock.is_ours for lock in got) == 1
        for lock in got:
            lock.release()


def test_a_full_disk_is_told_with_the_remedy_and_leaves_no_lock(path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(filelock._marker, "write_all", full)
    with pytest.raises(OSError, match=r"run cannot be written: the disk is full: free some space and start the same command again"):
        Lock(path).acquire()
    assert list(path.parent.iterdir()) == []


def test_a_look_writes_nothing(path):
    assert holder(path) == "" and not path.parent.exists()
    with Lock(path).acquire():
        before = path.stat().st_mtime_ns, path.parent.stat().st_mtime_ns
        assert holder(path)
        assert (path.stat().st_mtime_ns, path.parent.stat().st_mtime_ns) == before


def test_what_was_released_on_a_disk_that_could_not_be_written_is_free_when_that_is_mended(path, monkeypatch):
    def read_only(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    lock = Lock(path).acquire()
    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", read_only)
        lock.release()
    assert path.exists()
    Lock(path).acquire().release()
