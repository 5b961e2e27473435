"""`make audit` never says that nothing is known where nobody was asked. pip-audit is a small program here that answers as it does."""

import json
import re
import sys
from pathlib import Path

import pytest

from workflow.audit import OPTIONS, audit, main, rounds, written
from workflow.lock import HOME, machines, read_lock

LOCK = """a==1 \\
    --hash=sha256:01 \\
    --hash=sha256:02
b-c==2.0 ; sys_platform == 'win32' \\
    --hash=sha256:03
b-c==3.0 ; sys_platform != 'win32' \\
    --hash=sha256:04
d==4
"""
TOOL = """import json, sys
arguments, answers = sys.argv[1:], json.loads({answers!r})
wanted = open(arguments[arguments.index("--requirement") + 1]).read().splitlines()
print(json.dumps([arguments, wanted]), file=open({told!r}, "a"))
out = []
for line in wanted:
    name, version = line.split()[0].split("==")
    answer = answers.get(line.split()[0], [])
    if answer == "crash":
        sys.exit("Traceback ...\\nConnectionError: no route")
    if answer == "skip":
        out.append({{"name": name, "skip_reason": "Dependency not found: " + name}})
    elif answer != "silent":
        out.append({{"name": name.replace("-", "_").upper(), "version": version, "vulns": answer}})
print("No known vulnerabilities found", file=sys.stderr)
print(json.dumps({{"dependencies": out, "fixes": []}}))
"""
BAD = {"id": "PYSEC-1", "aliases": ["CVE-7"], "fix_versions": ["3.1"], "description": "it\nburns"}


@pytest.fixture
def asked(tmp_path):
    """A function: exit code and text of an audit of LOCK by a tool with these answers, and what the tool was asked."""

    def ask(answers=None, more=()):
        tool, lock, told = (tmp_path / name for name in ("tool.py", "a.lock", "told"))
        lock.write_text(LOCK)
        tool.write_text(TOOL.format(answers=json.dumps(answers or {}), told=str(told)))
        code, said = audit(read_lock(lock), more, (sys.executable, str(tool)))
        return code, said, [json.loads(line) for line in told.read_text().splitlines()]

    return ask


def test_nothing_is_known_is_said_when_every_pin_was_answered_for(asked):
    code, said, told = asked(more=["-s", "osv"])
    assert (code, said) == (0, "nothing is known against the 4 pins")
    assert [line.split()[0] for _, wanted in told for line in wanted] == ["a==1", "b-c==2.0", "d==4", "b-c==3.0"]
    assert all(arguments[2:] == [*OPTIONS, "-s", "osv"] for arguments, _ in told)
    assert {"--require-hashes", "--disable-pip"} <= set(OPTIONS)


def test_what_is_known_is_1_even_where_others_could_not_be_asked(asked):
    code, said, _ = asked({"b-c==3.0": [BAD]})
    assert code == 1 and "b-c 3.0: PYSEC-1, CVE-7; mended in 3.1: it burns" in said and "1 of 4 pins have known" in said
    code, said, _ = asked({"b-c==2.0": [BAD], "d==4": "skip"})
    assert code == 1 and "error: 1 of 4 pins could not be asked about" in said


@pytest.mark.parametrize("pin", ["a==1", "b-c==2.0", "b-c==3.0", "d==4"])
@pytest.mark.parametrize("answer, why", [("skip", "Dependency not found"), ("silent", "did not answer"), ("crash", "no route")])
def test_one_pin_that_could_not_be_asked_about_is_2(asked, pin, answer, why):
    code, said, _ = asked({pin: answer})
    assert code == 2 and re.search(rf"error: \d of 4 pins could not be asked about.*{why}", said) and "\n" not in said


def test_where_nobody_answers_one_question_is_enough(asked):
    code, said, told = asked({"a==1": "crash"})
    assert code == 2 and "4 of 4 pins" in said and len(told) == 1 and len(told[0][1]) == 1


def test_an_answer_about_another_version_is_none():
    pin = read_lock(HOME / "requirements.lock")[0]
    for version, code in (("0.0.0", 2), (pin.version, 0)):
        said = json.dumps({"dependencies": [{"name": pin.name, "version": version, "vulns": []}]})
        assert audit([pin], tool=(sys.executable, "-c", f"print({said!r})"))[0] == code


@pytest.mark.parametrize("code", ["print('no json')", "print('[]')", "pass", "print('{\"dependencies\": null}')", "1/0"])
def test_a_tool_that_says_something_else_is_2(capsys, code):
    assert main([], (sys.executable, "-c", code)) == 2
    assert "could not be asked about" in capsys.readouterr().err
    assert audit([])[0] == 2


def test_every_pin_of_our_lock_is_asked_about_whatever_the_machine():
    pins = read_lock(HOME / "requirements.lock")
    parts = rounds(pins)
    assert sorted(pin.text for part in parts for pin in part) == sorted(pin.text for pin in pins) and len(parts[0]) == 1
    assert all(len({pin.name for pin in part}) == len(part) for part in parts)
    for pin in pins:
        assert re.fullmatch(rf"{pin.name}=={re.escape(pin.version)} (--hash=sha256:[0-9a-f]{{64}} *)+", written(pin))


def test_pip_audit_has_a_lock_of_its_own_with_hashes_and_is_not_in_ours():
    text = (HOME / "workflow" / "audit.lock").read_text(encoding="utf-8")
    pins = read_lock(HOME / "workflow" / "audit.lock")
    assert {"pip-audit", "pip", "packaging"} <= {pin.name for pin in pins}
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}\b", pin.text) for pin in pins)
    assert "://" not in text and not re.search(r"^-", text, flags=re.MULTILINE)
    ours = {pin.name for pin in read_lock(HOME / "requirements.lock")}
    assert not ours & {"pip", "pip-audit"}
    recipe = (HOME / "Makefile").read_text(encoding="utf-8")
    assert "--require-hashes -r workflow/audit.lock" in recipe and "--group audit -o workflow/audit.lock" in recipe


def test_a_lock_that_pins_no_version_is_refused(tmp_path):
    lock = Path(tmp_path / "a.lock")
    lock.write_text("a>=1 \\\n    --hash=sha256:01\n")
    with pytest.raises(ValueError, match="each must pin one version; write it again by `make lock`"):
        read_lock(lock)


def test_a_pin_knows_its_machines():
    found = {pin.name: pin for pin in read_lock(HOME / "requirements.lock")}
    got = {where[0] for where, machine in machines().items() if found["appnope"].is_for(machine)}
    assert got == {"macos"} and all(found["torch"].is_for(machine) for machine in machines().values())
