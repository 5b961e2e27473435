"""The benchmark of the labeling page, on a tiny picture: that it runs and finds both ways alike, not how fast they are."""

import json
import subprocess
import sys

import numpy as np
import pytest

pytestmark = pytest.mark.browser


def test_the_tiny_benchmark_writes_a_row_for_each_pair(chromium, tmp_path):
    subprocess.run([sys.executable, "-m", "benchmarks", "widget", "--tiny", "--out", tmp_path], check=True, timeout=120)
    rows = json.loads((tmp_path / "widget.json").read_text(encoding="utf-8"))["rows"]
    assert [(r["unit"], r["n"]) for r in rows] == [("MB", 1), ("ms", 5), ("ms", 5)]
    for r in rows:
        for side in ("ours", "other", "ratio"):
            assert 0 < r[side]["least"] <= r[side]["median"] <= r[side]["most"] < np.inf
    assert [r["same"] for r in rows] == ["superpixels identical, the picture as JPEG", "identical", "6 clicks in the log"]
