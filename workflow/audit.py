"""Known vulnerabilities of everything that requirements.lock pins, by pip-audit. `make audit` runs it, in an environment of its own.

python -m workflow.audit              asks the service of PyPI; -s osv that of OSV; any other option is pip-audit's, too
Exit codes: 0 nothing is known, 1 something is known, 2 not everything could be asked (and nothing is known of the rest).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from packaging.utils import canonicalize_name

from .lock import HOME, Pin, read_lock

TOOL = (sys.executable, "-m", "pip_audit")
# The hashes make pip-audit take the pins as they are, without asking an index what else they need.
OPTIONS = ("--require-hashes", "--disable-pip", "--format", "json", "--progress-spinner", "off")


class Unasked(Exception):
    """pip-audit gave no answer that can be read."""


def rounds(pins: Sequence[Pin]) -> list[list[Pin]]:
    """The pins, so divided that each list has a name once, as pip-audit wants it. The first is one pin: does anybody answer?"""
    found: list[list[Pin]] = []
    for pin in pins:
        place = next((r for r in found if all(pin.name != other.name for other in r)), None)
        if place is None:
            found.append(place := [])
        place.append(pin)
    return [part for part in (found[0][:1], found[0][1:], *found[1:]) if part] if found else []


def written(pin: Pin) -> str:
    """The entry of a pin without its marker: pip-audit passes over what is not for this machine, we ask for all of them."""
    hashes = pin.text.partition("--hash=")
    return f"{pin.name}=={pin.version} {''.join(hashes[1:])}".replace("\\\n", " ")


def ask(pins: Sequence[Pin], more: Sequence[str], tool: Sequence[str] = TOOL) -> dict[Pin, list[dict] | str]:
    """What is known about each pin: a list of vulnerabilities, or text: why it could not be asked. Unasked where nothing came back."""
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "requirements.txt"
        file.write_text("\n".join(map(written, pins)) + "\n", encoding="utf-8")
        done = subprocess.run([*tool, "--requirement", str(file), *OPTIONS, *more], capture_output=True, text=True)
    try:
        answers = {canonicalize_name(d["name"]): d for d in json.loads(done.stdout)["dependencies"]}
    except (ValueError, KeyError, TypeError) as error:
        words = [line for line in done.stderr.splitlines() if line.strip()]
        raise Unasked(words[-1].strip() if words else f"pip-audit ended with {done.returncode} and said nothing") from error
    return {pin: _answer(answers.get(pin.name, {}), pin) for pin in pins}


def _answer(said: dict, pin: Pin) -> list[dict] | str:
    # pip-audit ends with 0 and "No known vulnerabilities found" where the service knows nothing of a package, such as a mirror of PyPI.
    if "skip_reason" in said:
        return str(said["skip_reason"])
    if said.get("version") != pin.version or not isinstance(said.get("vulns"), list):
        return "pip-audit did not answer for it"
    return said["vulns"]


def audit(pins: Sequence[Pin], more: Sequence[str] = (), tool: Sequence[str] = TOOL) -> tuple[int, str]:
    """The exit code, and what to read."""
    known: dict[Pin, list[dict]] = {}
    unasked: dict[Pin, str] = {}
    asked = 0
    for part in rounds(pins):
        try:
            for pin, said in ask(part, more, tool).items():
                if isinstance(said, str):
                    unasked[pin] = said
                else:
                    asked += 1
                    known |= {pin: said} if said else {}
        except Unasked as error:
            unasked |= dict.fromkeys(part, str(error))
        if not asked:  # nobody is there, so the other two hundred are not tried
            break
    lines = [_line(pin, one) for pin, found in known.items() for one in found]
    if asked < len(pins):
        why = next(iter(unasked.values()), "there is no pin to ask about")
        lines.append(
            f"error: {len(pins) - asked} of {len(pins)} pins could not be asked about, so nothing is known of them ({why}); try again "
            "where the service can be reached, or ask another one (AUDIT_ARGS='-s osv')"
        )
    if known:
        lines.append(
            f"{len(known)} of {asked} pins have known vulnerabilities; where there is a newer version, "
            "make lock LOCK_ARGS='--upgrade-package NAME' takes it"
        )
    return (1 if known else 2 if asked < len(pins) or not pins else 0), "\n".join(
        lines or [f"nothing is known against the {len(pins)} pins"]
    )


def _line(pin: Pin, one: dict) -> str:
    names = ", ".join([str(one.get("id")), *map(str, one.get("aliases", []))])
    mended = ", ".join(map(str, one.get("fix_versions", []))) or "no version yet"
    return f"{pin.name} {pin.version}: {names}; mended in {mended}: {' '.join(str(one.get('description', '')).split())[:200]}"


def main(arguments: Sequence[str] | None = None, tool: Sequence[str] = TOOL) -> int:
    """The command line; the exit code."""
    code, said = audit(read_lock(HOME / "requirements.lock"), sys.argv[1:] if arguments is None else arguments, tool)
    print(said, file=sys.stderr if code == 2 else sys.stdout)
    return code


if __name__ == "__main__":
    sys.exit(main())
