"""How the settings of params/camvid.yaml were found: python -m benchmarks.settings --root CAMVID

Each row changes one thing and tells the mIoU on validation pictures alone, of labels bought at random: the test pictures were not looked
at. Writes benchmarks/results/settings.json and .md.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch

from oreal_lib.config import RunConfig
from oreal_lib.setting import Setting, open_setting
from oreal_lib.storage import atomic, provenance
from oreal_lib.storage.progress import lines_to
from oreal_lib.train import fit

from .bench import RESULTS

SEEDS = (0, 1, 2)
SHARES = (0.005, 0.015, 0.03, 1.0)  # of the pool's superpixels that have labels: after steps 1, 3 and 6, and all
CHANGES: dict[str, dict[str, Any]] = {
    "as in the file": {},
    "one linear layer": {"model": "linear_tf_efficientnet_lite0"},
    "learning rate 0.001": {"learning_rate": 0.001},
    "learning rate 0.01": {"learning_rate": 0.01},
    "batches of 4": {"batch_size": 4},
    "AdamW, weight decay 0.1": {"optimizer": "adamw", "weight_decay": 0.1},
    "cosine classifier": {"classifier": "cosine"},
    "mirror images, too": {"augment_hflip": 0.5},
    "bfloat16: features, training": {"precision": "bfloat16"},
    "pictures enlarged to 720 x 540": {"height": 540, "width": 720},
}


def validation_miou(config: RunConfig, setting: Setting, share: float) -> tuple[float, float, int]:
    """mIoU (0..1) on the validation pictures with this share of the superpixels labeled, seconds of training, epochs."""
    n = len(setting.superpixels)
    ids = np.random.default_rng(config.seed).permutation(n)[: round(share * n)]
    labels = setting.oracle.answer(setting.no_labels, np.sort(ids), 1)
    model = setting.network(config, config.weights).to(memory_format=torch.channels_last)
    full = config.model_copy(update={"supervision": "full_dominant"}) if share == 1 else config
    fitted = fit(model, setting.bought(labels), setting.pairs(setting.val), full, (config.seed, 1))
    return fitted.val_miou, fitted.seconds, fitted.epochs


def measure(root: str, changes: dict[str, Any]) -> list[list[tuple[float, float, int]]]:
    """What `validation_miou` returns, for each of SEEDS and SHARES."""
    found = []
    for seed in SEEDS:
        config = RunConfig.from_yaml("camvid", data_root=root, seed=seed, **changes)
        setting = open_setting(config)
        found.append([validation_miou(config, setting, share) for share in SHARES])
    return found


def page(found: dict[str, Any]) -> str:
    """What was found as Markdown."""
    return (
        "*CamVid, mIoU on validation pictures with labels bought at random. Each row changes params/camvid.yaml in one respect; mean of "
        f"{len(found['seeds'])} seeds; the last difference with its standard error over seeds; {found['device']}, torch "
        f"{found['versions']['torch']}, commit {found['commit'][:7]}*\n\n{table(found['rows'])}"
    )


def table(rows: dict[str, list]) -> str:
    """The rows: mean over seeds, and the mean difference from the first row with its standard error."""
    first = np.array(next(iter(rows.values())))[..., 0]
    lines = [
        "| changed | " + " | ".join(f"{100 * s:g} % labeled" for s in SHARES) + " | mean difference | s per training |",
        "|---|" + "---:|" * (len(SHARES) + 2),
    ]
    for name, found in rows.items():
        miou, seconds, _ = np.moveaxis(np.array(found), 2, 0)
        each = (miou - first).mean(axis=1)
        differs = "" if miou is first or not each.any() else f"{each.mean():+.3f} ± {each.std(ddof=1) / len(each) ** 0.5:.3f}"
        lines.append(f"| {name} | " + " | ".join(f"{v:.3f}" for v in miou.mean(axis=0)) + f" | {differs} | {seconds.mean():.0f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.settings", description=__doc__)
    parser.add_argument("--root", required=True, metavar="DIR", help="the folder of CamVid")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows: dict[str, list] = {}
    for name, changes in CHANGES.items():
        with lines_to(lambda line: None):
            rows[name] = measure(given.root, changes)
        print(table(rows).splitlines()[-1], flush=True)
    about = {
        "device": provenance.device_name(torch.device("cpu")),
        "versions": provenance.versions(),
        "commit": provenance.commit(),
    }
    found = about | {"seeds": SEEDS, "shares": SHARES, "rows": rows}
    atomic.write_json(given.out / "settings.json", found)
    atomic.write_bytes(given.out / "settings.md", page(found).encode())


if __name__ == "__main__":
    main()
