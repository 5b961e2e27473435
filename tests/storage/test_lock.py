"""One process writes in a folder; the other says who, also on a disk that several machines share, and the dead do not hold it."""

import errno
import multiprocessing
import os
import signal
import threading
import time

import pytest

from oreal_lib.storage import lock as lock_module
from oreal_lib.storage.lock import Held, Lock, holder

WAY = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
PROCESSES = multiprocessing.get_context(WAY)
if WAY == "forkserver":
    PROCESSES.set_forkserver_preload(["pytest", "oreal_lib.storage.lock"])


def hold(path, ready, machine=None, beat=None):
    """The body of a process that holds a lock until it is killed; machine: another than this one, whose system locks nobody sees."""
    if machine:
        elsewhere(machine)
    if beat:
        lock_module.BEAT = beat
    with Lock(path).acquire():
        ready.set()
        time.sleep(600)


def elsewhere(machine, patch=setattr):
    """This process is on another machine, as far as locks can tell: the system's do not reach there, and its name is another."""

    class NotShared:
        is_locked = True

        def __init__(self, path, **how):
            self.path = path

        def acquire(self, **how):
            self.path.touch()

        def release(self):
            pass

    patch(lock_module.filelock, "FileLock", NotShared)
    patch(lock_module.socket, "gethostname", lambda: machine)


@pytest.fixture
def held(tmp_path):
    """A function: starts a process that holds the lock in tmp_path and comes back when it does."""
    started = []

    def held(**how):
        ready = PROCESSES.Event()
        started.append(PROCESSES.Process(target=hold, args=(tmp_path / "run.lock", ready), kwargs=how, daemon=True))
        started[-1].start()
        assert ready.wait(60)
        return started[-1]

    yield held
    for process in started:
        process.kill()
        process.join()


def kill(process):
    os.kill(process.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
    process.join()


def test_who_has_it_is_told_with_the_time_and_is_gone_with_it(tmp_path):
    before = lock_module.datetime.now(lock_module.UTC).isoformat()
    with Lock(tmp_path / "run.lock").acquire():
        by = holder(tmp_path / "run.lock")
        assert by.process == os.getpid() and by.is_here and before[:19] <= by.since and by.since.endswith("Z")
        assert str(by) == f"process {os.getpid()} on {by.machine} since {by.since}"
        with pytest.raises(Held, match=f"process {os.getpid()} on "):
            Lock(tmp_path / "run.lock").acquire()
    assert holder(tmp_path / "run.lock") is None and [p.name for p in tmp_path.iterdir()] == ["run.lock"]


def test_another_process_is_refused_and_a_killed_one_frees_it_at_once(tmp_path, held):
    process = held()
    with pytest.raises(Held, match=rf"process {process.pid} on .* since 20") as error:
        Lock(tmp_path / "run.lock").acquire()
    assert error.value.left is None  # the system knows that it lives
    kill(process)
    assert holder(tmp_path / "run.lock") is None
    with Lock(tmp_path / "run.lock").acquire():
        assert holder(tmp_path / "run.lock").process == os.getpid()


def test_who_waits_is_told_once_and_gets_it(tmp_path, held):
    process, said = held(), []

    def report(text):
        said.append(text)
        kill(process)

    with Lock(tmp_path / "run.lock").wait("the run is being computed", report, pause=0.01):
        assert len(said) == 1
    assert said[0].startswith(f"the run is being computed by process {process.pid} on ") and said[0].endswith(
        "; waiting until that ends"
    )


def test_waiting_for_oneself_is_refused_and_another_thread_waits(tmp_path):
    first = Lock(tmp_path / "run.lock").acquire()
    with pytest.raises(RuntimeError, match="held by this thread already"):
        Lock(tmp_path / "run.lock").wait("it is held", print)
    got = []
    other = threading.Thread(target=lambda: got.append(Lock(tmp_path / "run.lock").wait("it is held")))
    other.start()
    first.release()
    other.join(60)
    got[0].release()
    assert len(got) == 1


# another machine on a shared disk, where the system's locks do not reach


def test_a_holder_on_another_machine_is_respected_while_it_gives_signs_of_life(tmp_path, held, monkeypatch):
    process = held(machine="node7", beat=0.02)
    monkeypatch.setattr(lock_module, "DEAD", 5.0)
    file = tmp_path / "run.holder"
    beat = file.stat().st_mtime_ns
    limit = time.monotonic() + 60
    while file.stat().st_mtime_ns == beat:  # it lives
        assert time.monotonic() < limit
    with pytest.raises(Held, match=rf"process {process.pid} on node7 since ") as error:
        Lock(tmp_path / "run.lock").acquire()
    assert 0 < error.value.left < 6 and holder(tmp_path / "run.lock").machine == "node7"


def test_a_holder_on_another_machine_that_is_dead_is_taken_over_after_a_while_and_not_before(tmp_path, held):
    kill(held(machine="node7"))
    lock, file = Lock(tmp_path / "run.lock"), tmp_path / "run.holder"
    for age, taken in ((lock_module.DEAD - 5, False), (lock_module.DEAD + 1, True)):
        os.utime(file, (time.time() - age,) * 2)
        if taken:
            lock.acquire()
        else:
            with pytest.raises(Held, match="node7") as error:
                lock.acquire()
            assert 4 < error.value.left < 6
    assert holder(tmp_path / "run.lock").process == os.getpid()
    lock.release()
    assert [p.name for p in tmp_path.iterdir()] == ["run.lock"]


def test_who_was_taken_over_may_not_write_any_more(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        elsewhere("asleep", patch.setattr)
        sleeper = Lock(tmp_path / "run.lock").acquire()
        sleeper.check()
    os.utime(tmp_path / "run.holder", (time.time() - lock_module.DEAD - 1,) * 2)
    with Lock(tmp_path / "run.lock").acquire() as taken:
        with pytest.raises(
            OSError, match=rf"not ours to write in any more: process {os.getpid()} on .* has taken over; start again"
        ):
            sleeper.check()
        sleeper.release()  # takes nothing from the new one
        taken.check()


@pytest.mark.parametrize("harm", ["moved", "deleted", "drive pulled out"])
def test_a_folder_that_is_gone_is_told_before_anything_is_written(tmp_path, harm):
    folder = tmp_path / "run"
    lock = Lock(folder / "run.lock").acquire()
    folder.rename(tmp_path / "away")
    if harm == "drive pulled out":
        folder.mkdir()  # the place at which the drive was
    with pytest.raises(OSError, match=r"run is not ours to write in any more: it was moved or deleted, or its drive is not there"):
        lock.check()
    lock.release()


def test_a_torn_holder_file_is_taken_over_when_it_is_old(tmp_path):
    (tmp_path / "run.lock").touch()
    file = tmp_path / "run.holder"
    file.write_text('{"process": 1')
    with pytest.raises(Held, match="another process"):
        Lock(tmp_path / "run.lock").acquire()
    os.utime(file, (time.time() - lock_module.DEAD - 1,) * 2)
    Lock(tmp_path / "run.lock").acquire().release()


def test_of_many_that_want_what_a_dead_one_left_one_gets_it(tmp_path, monkeypatch):
    """On machines whose system locks are not shared: only the holder's file decides."""
    elsewhere("node1", monkeypatch.setattr)
    for _ in range(30):
        monkeypatch.setattr(lock_module.socket, "gethostname", lambda: "dead")
        Lock(tmp_path / "run.lock").acquire()._ended.set()
        os.utime(tmp_path / "run.holder", (time.time() - lock_module.DEAD - 1,) * 2)
        monkeypatch.setattr(lock_module.socket, "gethostname", lambda: threading.current_thread().name)  # four machines
        got, start = [], threading.Barrier(4)

        def take(got=got, start=start):
            lock = Lock(tmp_path / "run.lock")
            start.wait()
            try:
                got.append(lock.acquire())
            except Held:
                pass

        threads = [threading.Thread(target=take) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert len(got) == 1
        got[0].check()
        got[0].release()


def test_the_holder_s_file_is_there_whole_or_not_at_all(tmp_path, monkeypatch):
    """A disk that is full just then, or a kill, must not hold a lock for a minute in nobody's name."""

    def full(self, data):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(lock_module.Path, "write_bytes", full)
        with pytest.raises(OSError, match=r"cannot be written: the disk is full: free some space and start the same command again"):
            Lock(tmp_path / "run.lock").acquire()
    assert [p.name for p in tmp_path.iterdir()] == ["run.lock"]
    (tmp_path / "run.holder.0123").write_text("{")  # of one who was killed before it had the name
    with Lock(tmp_path / "run.lock").acquire():
        assert {p.name for p in tmp_path.iterdir()} == {"run.lock", "run.holder"}


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP])
def test_a_disk_without_links_has_locks_too(tmp_path, monkeypatch, code):
    def link(*given):
        raise OSError(code, "no links")

    monkeypatch.setattr(lock_module.os, "link", link)
    with Lock(tmp_path / "run.lock").acquire():
        assert holder(tmp_path / "run.lock").process == os.getpid()
        with pytest.raises(Held):
            Lock(tmp_path / "run.lock").acquire()
    assert [p.name for p in tmp_path.iterdir()] == ["run.lock"]


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK])
def test_where_the_system_has_no_locks_the_holder_s_file_is_one(tmp_path, monkeypatch, code):
    class None_:
        is_locked = False

        def __init__(self, path, **how):
            pass

        def acquire(self, **how):
            raise OSError(code, "no locks")

        def release(self):
            pass

    monkeypatch.setattr(lock_module.filelock, "FileLock", None_)
    (tmp_path / "run.lock").touch()
    with Lock(tmp_path / "run.lock").acquire() as first:
        with pytest.raises(Held, match=f"process {os.getpid()} on "):
            Lock(tmp_path / "run.lock").acquire()
        monkeypatch.setattr(lock_module, "_lives", lambda process: False)  # it died
        with Lock(tmp_path / "run.lock").acquire():
            assert not first.is_ours


def test_a_look_writes_nothing(tmp_path, monkeypatch):
    lock = Lock(tmp_path / "run.lock").acquire()
    before = {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
    assert holder(tmp_path / "run.lock").process == os.getpid() and holder(tmp_path / "other.lock") is None
    lock.release()
    assert holder(tmp_path / "run.lock") is None and {p.name for p in tmp_path.iterdir()} == {"run.lock"}
    assert (tmp_path / "run.lock").stat().st_mtime_ns == before["run.lock"]


def test_what_was_released_or_forgotten_is_not_held(tmp_path):
    lock = Lock(tmp_path / "run.lock").acquire()
    lock.release()
    with pytest.raises(OSError, match="not ours to write in any more"):
        lock.check()
    Lock(tmp_path / "run.lock").acquire()  # nobody has kept it
    Lock(tmp_path / "run.lock").acquire().release()
