"""Where a number comes from: versions, device, commit. Written beside every result."""

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
    info = Path("/proc/cpuinfo")  # Linux, where Python does not know the name
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor() or platform.machine()} CPU, {torch.get_num_threads()} thread(s)"


def peak_memory_mib(device: torch.device) -> int | None:
    """Largest memory in MiB: of the GPU since its count was last reset, else of this process; None on Windows."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) >> 20
    try:
        import resource  # not on Windows
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak >> (20 if platform.system() == "Darwin" else 10)  # macOS counts bytes, Linux KiB


def commit() -> str:
    """Git commit of the library's repository, with "+changes" if files differ from it; "unknown" outside of git."""
    here = Path(__file__).resolve().parents[1]
    if not (here.parent / ".git").exists():  # an installed copy may lie inside somebody else's repository
        return "unknown"
    try:
        head, changes = (
            subprocess.run(["git", *words.split()], cwd=here, capture_output=True, text=True, check=True, timeout=30).stdout.strip()
            for words in ("rev-parse HEAD", "status --porcelain .")
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return head + ("+changes" if changes else "")
