"""Ctrl-C: one sentence, exit code 130, no process is left; started again, the same end. The slow tests really send it.

A session's export and its training are stopped in process: tests/annotate/test_export.py and test_training.py.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import psutil
import pytest
import yaml
from test_prepare import HALF, block, files, make, small

from oreal_lib.experiments.grid import read_grid
from oreal_lib.experiments.run import run
from oreal_lib.experiments.run_folder import RunFolder
from oreal_lib.storage.interrupt import STOPPED, unless_stopped
from oreal_lib.storage.progress import lines_to

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals to a group of processes are of POSIX")


class Command:
    """A Python process and all that it starts, as a terminal has them: Ctrl-C reaches them all."""

    def __init__(self, *words, **environment):
        self.process = subprocess.Popen(
            [sys.executable, *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # in the background it is ignored
        )

    def wait_for(self, there):
        """Until `there()` is true."""
        limit = time.monotonic() + 120
        while not there():
            assert self.process.poll() is None and time.monotonic() < limit, self.process.communicate()[0]
            time.sleep(0.01)

    def stop(self, number=signal.SIGINT):
        """The exit code after a signal to all, and what was said."""
        family = [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)]
        os.killpg(self.process.pid, number)
        said = self.process.communicate(timeout=60)[0]
        _, alive = psutil.wait_procs(family, timeout=30)
        assert not alive, alive
        return self.process.returncode, said


def assert_polite(answer, sentence):
    code, said = answer
    assert code == STOPPED and "Traceback" not in said and f"stopped; {sentence}" in said, answer


# a command line


def test_a_command_that_is_stopped_says_what_is_kept_and_others_keep_their_exit_code(capsys):
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        assert unless_stopped(lambda: 3, "all") == 3 and capsys.readouterr().out == ""
        assert unless_stopped(lambda: signal.raise_signal(signal.SIGTERM) or 0, "all is kept; go on") == STOPPED == 130
        assert capsys.readouterr().out == "\nstopped; all is kept; go on\n"
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


WAITS = """
import signal, sys, time
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whoever starts the tests by nohup ignores it, and so do its children
from oreal_lib.storage.interrupt import unless_stopped

def work():
    print("ready", flush=True)
    while True:
        time.sleep(0.05)  # not signal.pause: a signal may come just before it

sys.exit(unless_stopped(work, "kept"))
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", None)])
def test_a_polite_kill_is_a_ctrl_c(number):
    command = Command("-c", WAITS)
    assert command.process.stdout.readline() == "ready\n"
    assert command.stop(number) == (STOPPED, "\nstopped; kept\n")


def test_in_a_thread_where_python_allows_no_signals_a_command_works():
    codes = []
    thread = threading.Thread(target=lambda: codes.append(unless_stopped(lambda: 5, "")))
    thread.start()
    thread.join()
    assert codes == [5]


# data


PREPARE = """
import sys
from functools import partial
from pathlib import Path
from oreal_lib.storage.interrupt import unless_stopped
from test_prepare import HALF, make, slow_block, small

if __name__ == "__main__":
    source = small(n=15, opened=partial(slow_block, 24, 32))
    sys.exit(unless_stopped(lambda: make(Path(sys.argv[1]), source, workers=2, **HALF) and 0, "kept"))
"""


@pytest.mark.slow
def test_preparing_that_is_stopped_goes_on_with_what_was_cut(tmp_path):
    script, root, lines = tmp_path / "script.py", tmp_path / "stopped", []
    script.write_text(PREPARE)
    command = Command(script, root, PYTHONPATH=os.pathsep.join([str(Path(__file__).parents[1]), *sys.path]))
    command.wait_for(lambda: len(list(root.glob(".*.cut/[!.]*"))) >= 2)
    assert_polite(command.stop(), "kept")
    whole = small(n=15, opened=partial(block, 24, 32))
    with lines_to(lines.append):
        make(root, whole, **HALF)
    assert "of 9 training images were cut by an attempt that was stopped" in lines[1]
    make(tmp_path / "undisturbed", whole, **HALF)
    assert files(root) == files(tmp_path / "undisturbed")


# a batch


@pytest.mark.slow
def test_a_batch_that_is_stopped_leaves_no_process_and_continues_to_the_same_end(tmp_path, tiny_config, tiny):
    grid, runs = tmp_path / "mine.yaml", tmp_path / "runs"
    values = tiny_config(steps=1, max_epochs=40, patience=40, checkpoint_seconds=1e9).values()
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(values))
    grid.write_text(yaml.safe_dump({"base": str(tmp_path / "base.yaml"), "runs": [{"strategy": "random"}]}))
    (config,) = read_grid(grid).configs
    words = "-m", "oreal_lib", "run", grid, "--runs-dir", runs, "--jobs", "1"
    command, folder = Command(*words), RunFolder(runs / config.run_id)
    command.wait_for((folder.path / "queries.npz").exists)  # from here on it trains
    assert_polite(command.stop(), "start the same command again and it continues where it was")
    assert folder.done is None
    again = Command(*words)
    said = again.process.communicate()[0]
    assert again.process.returncode == 0 and "1 runs, 0 finished already" in said
    undisturbed = list(run(config, tmp_path / "undisturbed"))
    assert [step.miou for step in folder.steps()] == [step.miou for step in undisturbed]
