"""Fingerprints of what a run was made from beside its parameters: the files of its data and of its first weights.

The place of these files may change and is not part of a run's name; their content may not, or one table would mix two data sets.
"""

import hashlib
import json

from ..config import RunConfig
from ..data import open_source
from ..models.weights import weights_file
from ..storage.progress import log
from .run_folder import RunFolder

Inputs = dict[str, str]


def read_inputs(config: RunConfig) -> Inputs:
    """Fingerprints of what a run reads: "data", and "weights" where they come from a file. Raises as the readers do.

    One that starts with "stat:" is of names, sizes and times of change only (a large data set): a copy may differ in it.
    """
    source = open_source(config.dataset, config.data_root, config.height, config.width, config.data_options)
    about = [source.name, source.classes, source.identity, [(i.name, i.group, i.split) for i in source.items]]
    kind = "stat" if str(source.identity.get("files", "")).startswith("stat:") else "content"
    found = {"data": f"{kind}:{hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()}"}
    if config.weights not in ("none", "imagenet"):
        found["weights"] = "content:" + hashlib.sha256(weights_file(config.weights).read_bytes()).hexdigest()
    return found


def check_inputs(folder: RunFolder, now: Inputs) -> None:
    """ValueError if the run in a folder was begun with other data or weights than those of `now`; a new run has none yet."""
    for name, fingerprint in (folder.config or {}).get("inputs", {}).items():
        if now.get(name, fingerprint) == fingerprint:
            continue
        if fingerprint.startswith("stat:") and now[name].startswith("stat:"):
            log.info(f"the files of the {name} were changed or copied since run {folder.path.name} was begun; going on with them")
            continue
        raise ValueError(
            f"run {folder.path.name} was made from other {name} than those given now; give the ones it was made from, "
            f"or move its folder {folder.path} away to compute it again; to keep both, give these a folder of runs of their own: "
            "-p runs_dir DIR in papermill, --runs-dir DIR on the command line"
        )
