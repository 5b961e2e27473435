"""Where a number comes from: versions, device, commit. Written beside every result."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

PACKAGES = ("oreal-lib", "torch", "torchvision", "timm", "numpy", "scipy", "scikit-image", "opencv-contrib-python-headless")


def versions() -> dict[str, str]:
    """Version of python and of each package that can change a number; "absent" where it is not installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return found


def device_name(device: torch.device) -> str:
    """Name of the GPU, or of the processor with the number of threads used."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{_processor()} CPU, {torch.get_num_threads()} thread(s)"


def peak_memory_mib(device: torch.device) -> int | None:
    """MiB at the highest: of the GPU since its count was last reset, else of this process; None where nobody counts."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) >> 20
    try:
        import resource  # not on Windows
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak >> (20 if platform.system() == "Darwin" else 10)  # macOS counts bytes, Linux KiB


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def commit() -> str:
    """Git commit of the library's repository, with "+changes" if files differ from it; "unknown" outside of git."""
    here = Path(__file__).resolve().parents[1]
    if not (here.parent / ".git").exists():  # an installed copy may lie inside somebody else's repository
        return "unknown"
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=True, timeout=10)
        dirty = subprocess.run(
            ["git", "status", "--porcelain", "."], cwd=here, capture_output=True, text=True, check=True, timeout=30
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return head.stdout.strip() + ("+changes" if dirty.stdout.strip() else "")
