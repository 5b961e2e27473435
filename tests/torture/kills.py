"""Work that is killed with SIGKILL at random moments and started again until it has ended, and what it must have ended with.

`make torture` kills each kind of work a hundred times, `test_torture.py` a few times. The moment of a kill is drawn evenly from the
time that undisturbed work takes.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import psutil
import yaml
from PIL import Image

sys.path.append(str(Path(__file__).parents[1]))  # where pytest has not done so
from tiny import TINY, TOY

from oreal_lib.annotate import rounds, training
from oreal_lib.annotate.events import parse, read_whole
from oreal_lib.annotate.saved import read_board, work_folder
from oreal_lib.annotate.session import open_session
from oreal_lib.config import RunConfig
from oreal_lib.data import load_dataset, open_store
from oreal_lib.experiments.run import run
from oreal_lib.experiments.run_folder import RunFolder
from oreal_lib.storage import checked
from oreal_lib.storage.yaml_file import read_yaml
from oreal_lib.superpixels import SuperpixelRecipe

WAY = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
PROCESSES = multiprocessing.get_context(WAY)
if WAY == "forkserver":  # everything is imported once; each start is a fork of that process
    PROCESSES.set_forkserver_preload(
        ["pytest", "cv2", "torch._dynamo", "oreal_lib.experiments.run", "oreal_lib.annotate.training", "oreal_lib.data"]
    )
STRATEGIES = [("oreal", "max"), ("cbal", "mean"), ("pixelbal", "mean"), ("random", "mean"), ("revisiting_sp", "max")]
CLASSES = ["sky", "road, wet", "Öl"]
SESSION = {"superpixel_method": "grid", "superpixel_count": 12, "query_size": 4, "device": "cpu", "height": 32, "width": 32}
SESSION |= {"max_epochs": 1, "batch_size": 2, "checkpoint_seconds": 0.0}
ACTS = 150  # of a person, each written and flushed before the next


@dataclass(frozen=True)
class Work:
    """Something that runs in processes of its own and leaves files.

    start(place, variant): starts it, from nothing or from what is there; has `poll` (None, or its exit code) and `kill(lot)`.
    found(place, variant): all it has left, by name, but for times.  variants: how many there are.
    ends: the exit codes it may have after a kill (a batch whose run was killed ends with 1).
    check(place): a sentence if something is wrong after a kill, else "".
    """

    start: Callable[[Path, int], Any]
    found: Callable[[Path, int], dict[str, Any]]
    variants: int = 1
    ends: tuple[int, ...] = (0,)
    check: Callable[[Path], str] = lambda place: ""


class Forked:
    """A Python process that carries out a function."""

    def __init__(self, function: Callable, *given: Any) -> None:
        self.process = PROCESSES.Process(target=function, args=given)
        self.process.start()

    def poll(self) -> int | None:
        self.process.join(0)
        return self.process.exitcode

    def kill(self, lot: random.Random) -> None:
        self.process.kill()
        self.process.join()


class Command:
    """A command, the processes it starts, and theirs. It alone, one of the others, or all at once are killed, as drawn."""

    def __init__(self, arguments: list[str], home: Path) -> None:
        environment = os.environ | {"OREAL_HOME": str(home), "OMP_NUM_THREADS": "1"}
        with open(home / "said.txt", "ab") as said:
            self.process = subprocess.Popen(arguments, cwd=home, env=environment, stdout=said, stderr=said, start_new_session=True)

    def poll(self) -> int | None:
        return self.process.poll()

    def kill(self, lot: random.Random) -> None:
        me = psutil.Process(self.process.pid)
        others = me.children(recursive=True)
        victims = lot.choice([[me], [lot.choice(others)], [me, *others]]) if others else [me]
        for process in victims:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait(300)  # where only one of the others was killed, it says so and ends by itself


@dataclass
class Outcome:
    """What came of a series of kills. moments: of each kill, as a share of the undisturbed time.  differences: sentences."""

    kills: int
    ends: int
    seconds: float
    moments: list[float]
    differences: list[str]


def torture(
    work: Work, place: Path, kills: int, seed: int, keep: Callable[[Outcome], None] = lambda out: None, most: int = 4
) -> Outcome:
    """Kills `work` so often, at most `most` times before it may end, and compares each end with an undisturbed one.

    keep: is given what is known after each end, since all of it takes hours.
    """
    lot, began = random.Random(seed), time.monotonic()
    twins: dict[int, dict[str, Any]] = {}
    lasts: dict[int, float] = {}
    out = Outcome(0, 0, 0.0, [], [])
    while out.kills < kills:
        variant = out.ends % work.variants
        if variant not in twins:
            home, mark = fresh(place / f"undisturbed {variant}"), time.monotonic()
            if (code := wait(work.start(home, variant), 600)) != 0:
                raise RuntimeError(f"the undisturbed work {variant} ended with {code}; look into {home}")
            lasts[variant], twins[variant] = time.monotonic() - mark, work.found(home, variant)
        home = fresh(place / f"killed {out.ends}")
        for attempt in range(min(lot.randint(1, most), kills - out.kills)):
            moment, started = lot.random() * lasts[variant], time.monotonic()
            process = work.start(home, variant)
            if (code := wait(process, moment)) is not None:  # it was faster this time
                lasts[variant] = lasts[variant] if attempt else time.monotonic() - started
                if code not in work.ends:
                    out.differences.append(f"{home.name}, variant {variant}: started again, it ended with {code}")
                break
            process.kill(lot)
            out.kills += 1
            out.moments.append((time.monotonic() - started) / lasts[variant])
            if why := work.check(home):
                out.differences.append(f"{home.name}, variant {variant}: {why}")
        code = until_it_ends(work, home, variant)
        found = work.found(home, variant) if code == 0 else {"how it ended": code}
        differing = sorted(name for name in {*found, *twins[variant]} if not same(found.get(name), twins[variant].get(name)))
        if differing:
            out.differences.append(f"{home.name}, variant {variant}: {', '.join(differing[:5])}")
        else:
            shutil.rmtree(home)
        out.ends += 1
        out.seconds = time.monotonic() - began
        keep(out)
    return out


def until_it_ends(work: Work, home: Path, variant: int) -> int:
    """The exit code of work that is started again, up to three times where a part of it may still suffer from the last kill."""
    for _ in range(3):
        code = wait(work.start(home, variant), 600)
        if code == 0 or code not in work.ends:
            return code
    return code


def wait(process: Any, seconds: float) -> int | None:
    """The exit code of a process; None if it has not ended within so many seconds."""
    limit = time.monotonic() + seconds
    while (code := process.poll()) is None and time.monotonic() < limit:
        time.sleep(0.002)
    return code


def fresh(folder: Path) -> Path:
    """An empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def same(a: Any, b: Any) -> bool:
    """Whether two values are the same, arrays bit for bit."""
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    return type(a) is type(b) and str(a) == str(b)  # as text: a mean over no class is NaN, which equals nothing


# a run, and a run of stage two


def run_config(variant: int, stage: int) -> RunConfig:
    strategy, aggregate = STRATEGIES[variant]
    weak = {"labeling": "weak", "classifier": "cosine", "stage": 2} if stage == 2 else {}
    return RunConfig.from_yaml(TOY, **TINY | weak | {"strategy": strategy, "aggregate": aggregate, "keep_weights": "all"})


def carry_out(config: dict, runs_dir: str, store: str) -> None:
    list(run(RunConfig.make(config), runs_dir, open_store(store)))


def run_found(runs_dir: Path) -> dict[str, Any]:
    """All that finished runs have left, but for how long it took."""
    found: dict[str, Any] = {}
    for path in sorted(p for p in runs_dir.iterdir() if (p / "config.json").exists()):
        folder, name = RunFolder(path), path.name
        found |= {f"{name} step {s.step}": replace(s, seconds={}, speed={}) for s in folder.steps()}
        for t, query in folder.queries().items():
            found |= {f"{name} query {t} {k}": v for k, v in query._asdict().items()}
        for file in path.glob("weights_step*"):
            found[f"{name} {file.name}"] = np.frombuffer(file.read_bytes(), np.uint8)
        for t in range(1, len(folder.steps()) + 1):
            for i, labels in enumerate(folder.pseudo(t) or ()):
                found[f"{name} pseudo labels {t} {i}"] = np.asarray(labels)
        found[f"{name} config"] = folder.config
        found[f"{name} done"] = {k: v for k, v in (folder.done or {}).items() if k not in ("seconds", "finished", "commit")}
        found[f"{name} files"] = sorted(p.name for p in path.iterdir() if p.suffix not in (".log", ".yaml"))
    return found


def a_run(store: Path, stage: int = 1) -> Work:
    """A run of three steps, its data prepared; each variant is another strategy."""

    def start(place: Path, variant: int) -> Forked:
        return Forked(carry_out, run_config(variant, stage).values(), str(place), str(store))

    return Work(start, lambda place, variant: run_found(place), len(STRATEGIES))


# a batch


def a_batch() -> Work:
    """Two seeds of two strategies through their notebooks, two at a time, in a home of their own."""

    def start(place: Path, variant: int) -> Command:
        if not (place / "params").exists():
            home = Path(TOY).parent.parent
            for name in ("params", "notebooks", "workflow"):
                shutil.copytree(home / name, place / name)
            tiny = read_yaml(TOY) | TINY | {"steps": 2}
            (place / "params" / "tiny.yaml").write_text(yaml.safe_dump(tiny))
            grid = {"base": "tiny", "runs": [{"strategy": "oreal", "aggregate": ["mean", "max"]}]}
            (place / "params" / "two.yaml").write_text(yaml.safe_dump(grid))
        return Command([sys.executable, "-m", "oreal_lib", "run", "two", "--jobs", "2"], place)

    def found(place: Path, variant: int) -> dict[str, Any]:
        left = run_found(place / "runs")
        for notebook in sorted((place / "runs").glob("*/run.ipynb")):
            nbformat.validate(nbformat.read(notebook, 4))
            left[f"{notebook.parent.name} notebook"] = len(nbformat.read(notebook, 4).cells)
        return left

    return Work(start, found, ends=(0, 1))


# prepare


def prepare(root: str, workers: int) -> None:
    config = RunConfig.from_yaml(TOY, **TINY)
    options = config.data_options | {"train": 16, "test": 6}
    recipe = SuperpixelRecipe(count=200, levels=2, prior=2, bins=5, double_step=False, equalize="value")
    load_dataset("toy", height=96, width=128, recipe=recipe, options=options, store_root=root, workers=workers)


def a_preparation() -> Work:
    """22 pictures prepared by two processes, and by one."""

    def found(place: Path, variant: int) -> dict[str, Any]:
        files = [p for p in place.rglob("*") if p.is_file() and p.suffix != ".lock"]
        return {str(p.relative_to(place)): np.frombuffer(p.read_bytes(), np.uint8) for p in files}

    return Work(lambda place, variant: Forked(prepare, str(place), 2 - variant), found, 2)


# a person's session, and a training of it


def photos(place: Path) -> Path:
    """A folder of three pictures of 48 x 64 pixels, bright above and dark below."""
    folder, begun = place / "photos", place / "photos being drawn"
    if not folder.exists():  # drawn elsewhere first: a kill here would test nothing of ours
        for seed, name in enumerate(("a", "b b", "ö")):
            image = np.random.default_rng(seed).integers(0, 80, (48, 64, 3))
            image[:24] += 150
            begun.mkdir(exist_ok=True)
            Image.fromarray(image.astype(np.uint8)).save(begun / f"{name}.png")
        begun.rename(folder)
    return folder


def acts(seed: int) -> Iterator[tuple]:
    """What a person does: always the same, whatever the session answers."""
    lot = random.Random(seed)
    for n in range(ACTS):
        what = lot.choice(["label"] * 6 + ["skip", "split", "undo", "undo", "redo"])
        some = lot.sample(range(12), lot.randint(1, 4))
        yield what, lot.randrange(3), some[:1] if what == "split" else some, lot.choice([*CLASSES, "void", ""]), f"{seed}-{n}"


def person(place: str, variant: int) -> None:
    """Does all acts that were not answered, as a browser sends them again, and tells each that was done or refused."""
    session = open_session(photos(Path(place)), CLASSES, **SESSION)
    with open(Path(place) / "told.txt", "a+b", buffering=0) as told:
        told.seek(0)
        answered = {line.split()[0] for line in told.read().decode().split("\n")[:-1]}
        for what, picture, some, to, name in acts(variant):
            if name in answered:
                continue
            try:
                session.act(what, picture, some, to, act_id=name)
                answer = "done"
            except ValueError:  # nothing to undo, a piece of one pixel
                answer = "refused"
            told.write(f"{name} {answer}\n".encode())
    session.close()


def none_lost(place: Path) -> str:
    """Whether every act that was told is in the log, and at most one more."""
    log = work_folder(place / "photos") / "me" / "clicks.jsonl"
    if not log.exists() or not (place / "told.txt").exists():
        return ""
    told = {line.split()[0] for line in (place / "told.txt").read_text().split("\n")[:-1] if line.endswith("done")}
    kept = {e.id for e in read_whole(log) if e.what != "open"}
    if lost := told - kept:
        return f"{len(lost)} acts were acknowledged and are lost, such as {min(lost)}"
    return f"{len(kept - told)} acts were not acknowledged and are there" if len(kept - told) > 1 else ""


def session_found(place: Path, variant: int) -> dict[str, Any]:
    home = work_folder(place / "photos")
    events, damaged, _ = parse((home / "me" / "clicks.jsonl").read_bytes(), "clicks.jsonl")
    board, _ = read_board(place / "photos", home, "me")
    found = {f"labels {i}": board.labels(i) for i in range(3)} | {f"superpixels {i}": board.ids(i) for i in range(3)}
    done = [(e.what, e.id, e.image, e.superpixels, e.to, e.pieces) for e in events if e.what != "open"]
    return found | {"acts": done, "problems": damaged, "counts": board.counts()}


def a_session() -> Work:
    """A person's acts in three pictures; each variant is another person."""
    return Work(lambda place, variant: Forked(person, str(place), variant), session_found, 3, check=none_lost)


def train_round(place: str) -> None:
    folder = photos(Path(place))
    home = work_folder(folder)
    training.LEAST_STEPS = 24  # so that a round is over in seconds
    if not (rounds.folder_of(home / "me", 2) / "request.json").exists():
        session = open_session(folder, CLASSES, **SESSION)
        for i in range(3):
            session.act("label", i, [0, 1], CLASSES[0], act_id=f"above {i}")
            session.act("label", i, [session.pictures[i].count - 1], CLASSES[1], act_id=f"below {i}")
        config, log = session.config.values(), len(session.log.events)
        session.close()
        request = {"config": config, "classes": CLASSES, "log": log, "round": 2}
        checked.write(rounds.folder_of(home / "me", 2) / "request.json", request)
    training.train_round(home / "me", 2, partial(read_board, folder, home, "me"))


def round_found(place: Path, variant: int) -> dict[str, Any]:
    folder = rounds.folder_of(work_folder(place / "photos") / "me", 2)
    found = {p.name: np.frombuffer(p.read_bytes(), np.uint8) for p in (*folder.glob("*.safetensors"), *folder.glob("views/*"))}
    query = {k: v for k, v in json.loads((folder / "query.json").read_text()).items() if k not in ("log", "check")}
    return found | {"query": query, "files": sorted(p.name for p in folder.iterdir() if p.name != "train.log")}


def a_training() -> Work:
    """A round of a session: the training on its clicks, the looks at its pictures, the next question."""
    return Work(lambda place, variant: Forked(train_round, str(place)), round_found)
