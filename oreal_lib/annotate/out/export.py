"""What a person gets out of a session: masks at full size, the clicks, and a network that works on other pictures."""

import contextlib
import csv
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO, StringIO
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ...config import RunConfig
from ...data.files import file_of, read_image
from ...data.resize import bounded, nearest, resized
from ...storage import checked, provenance
from ...storage.progress import told
from ...types import IGNORE
from .. import quality, rounds
from ..board import ON_PICTURES
from ..events import ACCEPTED
from ..live import SIDE as LOOKS
from ..live import Learner, network_of
from ..named import UNLABELED
from ..pictures import Picture
from ..saved import Saved, read_json, read_live
from ..session import Session
from ..training import classes_and_doubt, load_network
from .coco import Coco
from .output import class_files, filled, png
from .overlay import SIDE, blend, with_legend

README = Path(__file__).parent / "export.md"
COLUMNS = "time annotator picture act superpixels class how round asked seconds undone id".split()


@dataclass(frozen=True)
class Exported:
    """What was written. pictures: how many have a mask.  labeled: superpixels.  predicted: pictures whose mask holds predictions.
    acts: rows of clicks.csv.  round: of the predictions and the network, 0 if no network was trained.  problems: a sentence each.
    live: whether predictions and model are what was learned after the last click.  pixels: of all masks, how many have the class that
    a person gave, how many a prediction that a person accepted, how many one that is only predicted, and how many none.
    """

    out: Path
    pictures: int
    labeled: int
    predicted: int
    acts: int
    round: int
    problems: tuple[str, ...] = ()
    live: bool = False
    pixels: tuple[int, int, int, int] = (0, 0, 0, 0)

    @property
    def shares(self) -> str:
        """`pixels` in words."""
        kinds = ("clicked", "accepted", "only predicted", "without a class")
        parts = zip(self.pixels, kinds, strict=True)
        return ", ".join(f"{n:,} {kind} ({n / max(1, sum(self.pixels)):.0%})" for n, kind in parts)


def export(session: Session | Saved, out: Path | str | None = None) -> Exported:
    """Writes everything a session has into a folder, `<work>/export/<annotator>` unless `out` names one.

    masks/<name>.png: (h, w) class ids at the picture's own size, turned as its EXIF says, 255 = void: what was clicked or accepted,
    and elsewhere what is predicted: live, unless the network was trained after the last act, or by the last round.
    labels/<name>.png: what was clicked or accepted, 255 elsewhere. Both are enlarged from the size that the person saw, by the nearest pixel.
    export.md, which goes along as README.md, says what the other files are. model/ is there if anything was learned.

    A second export replaces the first; killed in between, each file is whole. Raises ValueError for an `out` that cannot be used
    (`output.filled`) and OSError with the remedy where the disk is full. A picture whose files are damaged is left out and named.
    """
    saved = session
    if isinstance(session, Session):
        saved = Saved(session.home, session.annotator, session.board, tuple(session.log.events))
    board, home = saved.board, saved.home
    out = home.parent / "export" / saved.annotator if out is None else Path(out).expanduser()
    top = board.pictures[0].file.parents[board.pictures[0].name.count("/")]  # where the names of the pictures begin
    problems, palette = list(saved.problems), board.named.palette()
    learner = _learner(saved)
    last, model = _model(saved, problems) if learner is None else (0, _live_model(saved, learner, problems))
    files, rows = class_files(board.classes, palette) | model | {"README.md": README.read_bytes()}, _rows(saved)
    measured = {} if saved is session else session.measured
    told_quality = list(quality.rows(board.acts, saved.events, measured, learner, board.classes))
    files |= {"clicks.csv": table(COLUMNS, rows), "quality.csv": table(quality.COLUMNS, told_quality)}
    kinds = (("masks", "png"), ("labels", "png"), ("overlays", "jpg"))
    names = {p.name: [f"{folder}/{p.name}.{suffix}" for folder, suffix in kinds] for p in board.pictures}
    everything = [*files, "coco.json", "coco_labels.json", *(name for three in names.values() for name in three)]
    coco, of_clicks, written, predicted = Coco(board.classes, palette), Coco(board.classes, palette), 0, 0
    pixels = np.zeros(4, np.int64)
    taken = [np.array([event is not None and event.how in ACCEPTED for event in of], np.uint8) for of in board.given_by()]
    with filled(out, everything, top, f"export of {saved.annotator}") as write:
        for i, picture in enumerate(told(board.pictures, "{done} of {total} pictures are exported")):
            try:
                if learner is None:
                    seen = _seen(home, last, picture, len(board.classes), problems)
                else:
                    seen = classes_and_doubt(learner.look(i))[0]
                mask, labels, preview = _images(saved, i, seen)
            except (ValueError, OSError) as error:
                problems.append(f"{picture.name} is left out: {error}")
                continue
            three = (*(png(values, palette) for values in (mask, labels)), preview)
            for name, data in zip(names[picture.name], three, strict=True):
                write(name, data)
            for one, values in ((coco, mask), (of_clicks, labels)):
                one.add(picture.file.relative_to(top).as_posix(), values)
            written, predicted = written + 1, predicted + (seen is not None)
            labeled = labels != IGNORE
            accepted = np.count_nonzero(labeled & (nearest(taken[i][board.ids(i)], picture.native) > 0))
            given, known = np.count_nonzero(labeled), np.count_nonzero(mask != IGNORE)
            pixels += (given - accepted, accepted, known - given, mask.size - known)
        for name, data in (files | {"coco.json": coco.file(), "coco_labels.json": of_clicks.file()}).items():
            write(name, data)
    labeled = int(board.counts().sum())
    return Exported(out, written, labeled, predicted, len(rows), last, tuple(problems), learner is not None, tuple(pixels.tolist()))


def _learner(saved: Saved) -> Learner | None:
    """What was learned after the last click; None where the session is not live, the network was trained since, or there are fewer
    than two classes."""
    if not (known := read_live(saved.home)).get("live"):
        return None
    last = rounds.finished(saved.home)
    trained = rounds.read_request(saved.home, last).get("log", 0) if last > 1 else 0
    if trained and all(event.what == "open" for event in saved.events[trained:]):
        return None
    learner = Learner(saved.board, RunConfig.make(known["config"]), saved.home.parent / "pictures")
    if (learner.board.counts()[:-1] > 0).sum() < 2:
        return None
    for i in told(learner.unseen(0), "looking at the pictures: {done} of {total}"):
        with contextlib.suppress(ValueError, OSError):  # damaged: it is named when its mask is due
            learner.see(i)
    learner.fit()
    return learner if learner.classifier is not None else None


def _images(saved: Saved, i: int, seen: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, bytes]:
    """The mask, the labels that were given, each (h, w) uint8 at the picture's own size, and the overlay's file."""
    ids, picture = saved.board.ids(i), saved.board.pictures[i]
    codes = saved.board.labels(i)[ids]
    seen = np.full(picture.size, IGNORE, np.uint8) if seen is None else seen
    preview = _preview(saved, i, ids, codes, seen)
    native = nearest(codes, picture.native)
    labels = np.where(native == UNLABELED, IGNORE, native).astype(np.uint8)
    return np.where(native == UNLABELED, nearest(seen, picture.native), native), labels, preview


def _seen(home: Path, last: int, picture: Picture, n_classes: int, problems: list[str]) -> np.ndarray | None:
    """The classes that the last round predicts, at the working size; None if there are none."""
    try:
        view = rounds.read_view(home, last, picture) if last else None
        if view is not None and (view[0].shape != picture.size or view[0].max() >= n_classes):
            raise ValueError(
                f"round {last} predicts for another size or a class added since; open the session again, or train again"
            )
    except ValueError as error:
        problems.append(f"the mask of {picture.name} holds the clicks only: {error}")
        return None
    return None if view is None else view[0]


def _preview(saved: Saved, i: int, ids: np.ndarray, codes: np.ndarray, seen: np.ndarray) -> bytes:
    board, picture = saved.board, saved.board.pictures[i]
    size = bounded(picture.native, SIDE)
    try:
        image = read_image(picture.file) if max(size) > max(picture.size) else picture.image()
    except (ValueError, OSError):  # removed after the session was opened: its copy is there
        image = picture.image()
    codes, ids = nearest(codes, size), nearest(ids, size)
    mask = np.where(codes == UNLABELED, nearest(seen, size), codes)
    present = np.unique(mask[mask != IGNORE]).tolist() + [IGNORE] * bool((codes == IGNORE).any())
    count = int((board.labels(i) != UNLABELED).sum())
    note = f"{count} of {len(board.labels(i))} superpixels labeled (outlined)"
    note += ", the rest as predicted" * bool((seen != IGNORE).any())
    shown = blend(resized(image, size), mask, codes, ids, board.named.palette())
    return file_of(with_legend(shown, board.classes, present, note, board.named.palette()), "JPEG", quality=90, subsampling=0)


def _live_model(saved: Saved, learner: Learner, problems: list[str]) -> dict[str, bytes]:
    """The files of model/, for `predictions`."""
    home, state = read_json(saved.home.parent), learner.classifier.state()
    cut = None if home["partition"] else home["superpixels"]
    about = {"live": True, "side": LOOKS, "superpixels": cut, "versions": provenance.versions()}
    weights = checked.dump_tensors(state)
    return _model_files(saved, saved.board.classes, about, weights) | onnx(network_of(state), problems)


def _model_files(saved: Saved, classes: Sequence[str], about: dict, weights: bytes) -> dict[str, bytes]:
    """model.json with what both kinds of models have besides `about`, and their weights."""
    colors = saved.board.named.palette()[: len(classes)].tolist()
    side = read_json(saved.home.parent)["side"]
    about = {"classes": list(classes), "colors": colors, "annotator": saved.annotator, "working_side": side} | about
    return {"model/model.json": (checked.dumps(about, indent=1) + "\n").encode(), "model/weights.safetensors": weights}


def _model(saved: Saved, problems: list[str]) -> tuple[int, dict[str, bytes]]:
    """The last trained round (0 if there is none) and the files of model/, which is all that `predictions` needs."""
    last = rounds.finished(saved.home)
    if last < 2:  # round 1 asks before anything is trained
        return 0, {}
    folder = rounds.folder_of(saved.home, last)
    try:
        request, done = (checked.read(folder / f"{name}.json", "train again") for name in ("request", "done"))
        config = RunConfig.make(request["config"])
        about = {"round": last, "side": config.height, "versions": done["versions"], "config": request["config"]}
        weights = folder / "weights.safetensors"
        network = onnx(load_network(config, len(done["classes"]), weights, "cpu"), problems)
        return last, _model_files(saved, done["classes"], about, weights.read_bytes()) | network
    except (OSError, ValueError) as error:
        problems.append(f"the network of round {last} is left out: {folder} is damaged ({error!r}); train again")
        return last, {}


class _Whole(nn.Module):
    """A network, from an image (H, W, 3) uint8 to probabilities (C, H, W)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.network(image.permute(2, 0, 1)[None].float() / 255).softmax(dim=1)[0]


def onnx(network: nn.Module, problems: list[str]) -> dict[str, bytes]:
    """The file model/model.onnx of a `build_model` network: "image" (H, W, 3) uint8, any H and W, to "probabilities" (C, H, W) float32."""
    axes = {"image": {0: "height", 1: "width"}, "probabilities": {1: "height", 2: "width"}}
    names, buffer = {"input_names": ["image"], "output_names": ["probabilities"], "dynamic_axes": axes}, BytesIO()
    with warnings.catch_warnings():  # of tracing: sizes are compared. And the other exporter takes minutes
        warnings.simplefilter("ignore")
        try:
            torch.onnx.export(_Whole(network).eval(), (torch.zeros(64, 96, 3, dtype=torch.uint8),), buffer, dynamo=False, **names)
        except RuntimeError as error:
            problems.append(f"model.onnx is left out: torch cannot export this network ({str(error).splitlines()[0]})")
            return {}
    return {"model/model.onnx": buffer.getvalue()}


def _rows(saved: Saved) -> list[list]:
    """A row for each label, skip and split, in the order in which they came, including those that were undone."""
    acts, rows = {event.id for event in saved.board.acts}, []
    for e in saved.events:
        if e.what in (*ON_PICTURES, "classes"):
            act, asked = "clear" if e.what == "label" and not e.to else e.what, int(e.round > 0)
            which = [e.at, saved.annotator, e.image, act, " ".join(map(str, e.superpixels)), e.to, e.how]
            rows.append([*which, e.round, asked, e.seconds, int(e.id not in acts), e.id])
    return rows


def table(columns: list[str], rows: list[list]) -> bytes:
    """A CSV file in UTF-8, with the names of the columns first."""
    text = StringIO()
    csv.writer(text, lineterminator="\n").writerows([columns, *rows])
    return text.getvalue().encode()
