"""Does a grid on Slurm survive whatever is killed? Started by slurm_on_loopback.sh, which makes the cluster; exit code 0 if it does.

A grid of seven runs of seconds, by `python -m oreal_lib run tiny --profile slurm`: a job is cancelled, the processes of another are
killed, then the controller is, while a run goes on. After a second start every step was computed once, and the table is that of the
same grid without a cluster, byte for byte.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import yaml

GRID = {
    "base": "toy",
    "set": {
        "steps": 4,
        "max_epochs": 12,
        "train_images": 8,
        "val_images": 4,
        "full_min_epochs": 20,
        "full_max_epochs": 20,
        "height": 48,
        "width": 64,
        "superpixel_count": 60,
        "query_share": 0.05,
        "data_options": {"scene": "large_tools", "generator_seed": 7, "train": 14, "test": 4},
        "workers": 1,
    },
    "runs": [
        {"supervision": "full_dominant"},
        {"strategy": "random"},
        {"strategy": ["bvsb", "oreal"], "aggregate": ["mean", "max"]},
    ],
    "reports": ["20_table1_aualc"],
}
SLURM = ["--profile", "slurm", "--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "2"]
SLURM += ["--set-resources", "run:mem_mb=1500", "run:runtime=60"]
LONG_ENOUGH = 900  # seconds


def say(text):
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


def check(true, text):
    say(("yes: " if true else "NO: ") + text)
    if not true:
        sys.exit(1)


def until(happens, what):
    """Wait until `happens()` is true, and return it."""
    end = time.monotonic() + LONG_ENOUGH
    while time.monotonic() < end:
        if result := happens():
            return result
        time.sleep(0.2)
    check(False, f"{what} within {LONG_ENOUGH} s")


def home_of_its_own(project, place):
    """A folder with this project's notebooks, parameters and workflow, and none of its runs."""
    for name in ("notebooks", "params", "workflow"):
        shutil.copytree(project / name, place / name)
    (place / "params" / "tiny.yaml").write_text(yaml.safe_dump(GRID))
    return place


def start(place, *arguments):
    with open(place / "starts.log", "ab") as log:
        command = [sys.executable, "-m", "oreal_lib", "run", "tiny", *arguments]
        environment = os.environ | {"OREAL_HOME": str(place)}
        return subprocess.Popen(command, cwd=place, env=environment, stdout=log, stderr=log, start_new_session=True)


class Journal(threading.Thread):
    """Every line that was ever seen in a steps.jsonl: a step that is computed twice has two, since its seconds differ."""

    def __init__(self, runs):
        super().__init__(daemon=True)
        self.runs, self.lines, self.over = runs, {}, threading.Event()

    def run(self):
        while not self.over.wait(0.05):
            self.look()

    def look(self):
        for file in self.runs.glob("toy-*/steps.jsonl"):
            for line in file.read_text().splitlines():
                self.lines.setdefault((file.parent.name, json.loads(line)["step"]), set()).add(line)


def jobs():
    """Slurm id -> run, of the jobs that are at work now."""
    told = subprocess.run(
        ["squeue", "--noheader", "--states=RUNNING", "--format=%i %k"], capture_output=True, text=True, check=True
    )
    lines = [line.split() for line in told.stdout.splitlines()]
    return {line[0]: line[1].split("_wildcards_")[1] for line in lines if len(line) == 2 and "_wildcards_" in line[1]}


def in_the_middle(runs, but=()):
    """(Slurm id, run) of a job that has finished a step of its own, and not its last; None if there is none now."""
    for job, run in jobs().items():
        file = runs / run / "steps.jsonl"
        steps = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        if run not in but and any(not step.get("from_run") for step in steps):
            config = json.loads((runs / run / "config.json").read_text())
            if config["supervision"] == "active" and len(steps) < config["steps"]:
                return job, run
    return None


def kill_processes_of(run):
    """kill -9 of the notebook of a run and of everything above it up to the job's script; how many processes."""
    found = [p for p in psutil.process_iter(["cmdline"]) if any(run in part for part in p.info["cmdline"] or [])]
    tree = {q.pid: q for p in found for q in [p, *p.children(recursive=True)]}
    for process in tree.values():
        kill(process)
    return len(tree)


def kill(process):
    with contextlib.suppress(psutil.NoSuchProcess):
        process.kill()


def main():
    project, place = Path(sys.argv[1]), Path(sys.argv[2])
    alone, cluster = home_of_its_own(project, place / "alone"), home_of_its_own(project, place / "cluster")
    say("the grid on this machine alone")
    check(start(alone).wait() == 0, "python -m oreal_lib run tiny")

    runs = cluster / "runs"
    journal = Journal(runs)
    journal.start()
    say("the same grid on Slurm")
    first = start(cluster, *SLURM)
    until(jobs, "a job at work")
    check(
        start(cluster, *SLURM).wait(LONG_ENOUGH) == 2,
        "a second controller beside it is refused",
    )
    job, cancelled = until(lambda: in_the_middle(runs), "a job in the middle of its run")
    subprocess.run(["scancel", job], check=True)
    say(f"scancel {job}, in the middle of {cancelled}")
    job, killed = until(lambda: in_the_middle(runs, [cancelled]), "another job in the middle of its run")
    say(f"kill -9 of the {kill_processes_of(killed)} processes of job {job}, in the middle of {killed}")
    job, left_alone = until(lambda: in_the_middle(runs, [cancelled, killed]), "a third job in the middle of its run")
    check(first.poll() is None, "the controller goes on after two of its jobs were killed")
    first.kill()
    first.wait()
    say(f"kill -9 of the controller, while job {job} computes {left_alone}")
    check(job in jobs(), "that job goes on")
    journal.look()
    finished = {run.name: (run / "done.json").read_text() for run in runs.glob("toy-*") if (run / "done.json").exists()}
    second = start(cluster, *SLURM)
    check(second.wait(LONG_ENOUGH) == 0, "the same command, started again, ends well")
    check(all((runs / run / "done.json").read_text() == text for run, text in finished.items()), "finished runs were left alone")
    journal.look()
    twice = [key for key, lines in journal.lines.items() if len(lines) > 1]
    check(not twice, f"each of {len(journal.lines)} steps was computed once {twice or ''}")
    check({run for run, _ in journal.lines} == {p.parent.name for p in runs.glob("*/done.json")}, "every run is finished")
    before = {file: file.stat().st_mtime_ns for file in runs.glob("toy-*/*")}
    check(start(cluster, *SLURM).wait(LONG_ENOUGH) == 0, "a third start ends well")
    check({file: file.stat().st_mtime_ns for file in runs.glob("toy-*/*")} == before, "and has touched no file of a run")
    journal.over.set()
    tables = sorted(p.name for p in (alone / "figures").glob("tiny_table*") if p.suffix != ".json")
    same = [(alone / "figures" / t).read_bytes() == (cluster / "figures" / t).read_bytes() for t in tables]
    check(tables and all(same), f"{', '.join(tables)}: byte for byte the same as on this machine alone")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        main()
    finally:
        for process in psutil.process_iter(["cmdline"]):  # what was started here, orphans of the kills included
            if process.pid != os.getpid() and any(sys.argv[2] in part for part in process.info["cmdline"] or []):
                kill(process)
