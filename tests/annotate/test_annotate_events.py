"""The log is the truth: whatever happens to its file, each whole line is read and each damaged one is named."""

import errno
import json
import os
import random
import signal
import subprocess
import sys
import threading
from dataclasses import replace

import pytest

from oreal_lib.annotate.events import WHATS, Event, Log, from_line, parse, read, to_line
from oreal_lib.storage import checked

LABEL = Event(
    "label", "a1", "2026-01-02T03:04:05.678Z", "köln/Straße 1", (0, 7, 65_534), 'say "no", ok', "drag", 3, 1.25, note="{\\n}\n\r\0"
)
THREE = (Event("open", "o1", note="by a test"), LABEL, Event("undo", "u1", seconds=0.5))


def written(path, events=THREE, repair=False):
    log = Log(path, repair)
    log.extend(events)
    log.close()
    return path


def other_process(code, *arguments, **how):
    """A process that runs the code with the arguments in sys.argv."""
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], text=True, stdout=subprocess.PIPE, **how)


HOLD = (
    "import sys\nfrom oreal_lib.annotate.events import Log\nlog = Log(sys.argv[1])\nprint('open', flush=True)\nsys.stdin.read()\n"
)


@pytest.mark.parametrize("what", WHATS)
def test_an_event_comes_back_from_its_line(what):
    for event in (Event(what, "x"), replace(LABEL, what=what), replace(LABEL, what=what, pieces="0,0,1,2,abc=")):
        line = to_line(event)
        assert from_line(line) == event
        assert line.count(b"\n") == 1 and line.endswith(b"\n")


def test_fields_that_are_as_usual_take_no_room():
    assert set(json.loads(to_line(Event("undo", "u1")))) == {"what", "id", "check"}


def test_an_event_of_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="'paint', but must be one of open, label"):
        Event("paint", "x")


def test_a_changed_byte_anywhere_in_a_line_is_noticed():
    line, rng = to_line(LABEL)[:-1], random.Random(0)
    for place in range(len(line)):
        for byte in {line[place] ^ 1, line[place] ^ 32, rng.randrange(256), 0, 34, 92} - {line[place]}:
            with pytest.raises(ValueError):
                from_line(line[:place] + bytes([byte]) + line[place + 1 :])


@pytest.mark.parametrize("line", [b"", b"[]", b"7", b"null", b"{}", b'{"check":"00000000"}', b"\xff\xfe", b"NaN"])
def test_what_is_no_event_is_refused(line):
    with pytest.raises(ValueError):
        from_line(line)


def test_a_field_of_a_later_version_is_named_with_the_remedy():
    line = checked.dumps({"what": "undo", "id": "u", "mood": "good"}).encode()
    with pytest.raises(ValueError, match="'mood', which this version does not know; update"):
        from_line(line)


def test_a_log_cut_at_any_byte_holds_the_events_of_its_whole_lines(tmp_path):
    data = written(tmp_path / "clicks.jsonl").read_bytes()
    ends = [i + 1 for i, byte in enumerate(data) if byte == ord("\n")]
    assert len(ends) == 3
    for cut in range(len(data) + 1):
        events, damaged, whole = parse(data[:cut], "log")
        n = sum(end <= cut for end in ends)
        assert (tuple(events), damaged, whole) == (THREE[:n], [], [0, *ends][n])


def test_a_line_break_that_was_changed_is_noticed():
    """Python's splitlines would end a line at a carriage return, too."""
    data = b"".join(map(to_line, THREE))
    place = data.index(b"\n")
    for byte in (b"\r", b"\v", b"\x85", b" "):
        events, damaged, _ = parse(data[:place] + byte + data[place + 1 :], "log")
        assert events == list(THREE[2:]) and [number for number, _ in damaged] == [1], byte
    assert parse(data.replace(b"\n", b"\r\n"), "log")[:2] == (list(THREE), [])  # as an editor on Windows saves it


def test_half_a_character_is_refused_before_it_is_written():
    with pytest.raises(ValueError, match=r"'.ud800' in the act 'label' is half a character; send it whole"):
        to_line(replace(LABEL, to="a\ud800b"))


def test_a_torn_last_line_is_reported_and_kept_aside(tmp_path):
    path = written(tmp_path / "clicks.jsonl")
    data, torn = path.read_bytes(), to_line(replace(LABEL, id="a2"))[:20]
    path.write_bytes(data + torn)
    assert read(path) == (list(THREE), ["the last line of clicks.jsonl is torn (20 bytes): it was being written"])
    log = Log(path)
    (problem,) = log.problems
    (aside,) = tmp_path.glob("*.torn-*")
    assert aside.name in problem and aside.read_bytes() == torn
    assert tuple(log.events) == THREE and path.read_bytes() == data
    log.append(Event("redo", "r1"))
    log.close()
    assert read(path) == ([*THREE, Event("redo", "r1")], [])


def test_zeros_at_the_end_after_a_power_failure_are_a_torn_line(tmp_path):
    path = written(tmp_path / "clicks.jsonl")
    path.write_bytes(path.read_bytes() + bytes(500))
    log = Log(path)
    assert tuple(log.events) == THREE and "(500 bytes)" in log.problems[0]
    log.close()


def test_two_torn_lines_in_one_second_are_both_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("oreal_lib.annotate.events.time.strftime", lambda how: "20260102T030405")
    path = written(tmp_path / "clicks.jsonl")
    for torn in (b"one", b"two", b"three"):
        path.write_bytes(path.read_bytes() + torn)
        Log(path).close()
    assert sorted(p.read_bytes() for p in tmp_path.glob("*.torn-*")) == [b"one", b"three", b"two"]


def test_a_damaged_line_in_the_middle_is_refused_by_its_number_and_skipped_only_when_told_so(tmp_path):
    path = written(tmp_path / "clicks.jsonl")
    data = path.read_bytes().replace(b"drag", b"drug")
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"line 2 of clicks.jsonl is damaged: its checksum is wrong.*repair=True"):
        Log(path)
    assert path.read_bytes() == data and not list(tmp_path.glob("*.damaged-*"))
    log = Log(path, repair=True)
    (aside,) = tmp_path.glob("*.damaged-*")
    assert log.events == [THREE[0], THREE[2]] and aside.read_bytes() == data
    assert "line 2" in log.problems[0] and aside.name in log.problems[0]
    log.close()
    assert read(path) == ([THREE[0], THREE[2]], [])


def test_a_log_damaged_and_torn_is_mended_in_one_go(tmp_path):
    path = written(tmp_path / "clicks.jsonl")
    data = path.read_bytes().replace(b"drag", b"drug") + b"torn"
    path.write_bytes(data)
    log = Log(path, repair=True)
    assert log.events == [THREE[0], THREE[2]] and ["damaged" in p or "torn" in p for p in log.problems] == [True, True]
    log.close()
    assert next(tmp_path.glob("*.damaged-*")).read_bytes() == data and read(path)[1] == []


def test_line_ends_of_windows_do_no_harm(tmp_path):
    path = written(tmp_path / "clicks.jsonl")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert read(path) == (list(THREE), [])


def test_two_copies_of_a_log_put_together_count_once(tmp_path):
    path = written(tmp_path / "clicks.jsonl")
    path.write_bytes(2 * path.read_bytes())
    log = Log(path)
    assert tuple(log.events) == THREE and log.problems == [] and "a1" in log and "a2" not in log
    log.close()


def test_an_act_is_in_the_file_before_append_returns(tmp_path):
    log = Log(tmp_path / "deep" / "clicks.jsonl")
    for n, event in enumerate(THREE, 1):
        log.append(event)
        assert read(log.path) == (list(THREE[:n]), [])
    log.close()


def test_the_second_opening_in_one_process_takes_over_and_the_first_says_so(tmp_path):
    first = Log(tmp_path / "clicks.jsonl")
    second = Log(tmp_path / "." / "clicks.jsonl")
    assert first.closed and not second.closed
    with pytest.raises(OSError, match="opened again elsewhere"):
        first.append(LABEL)
    first.close()  # does not disturb the second
    second.append(LABEL)
    second.close()
    assert read(second.path)[0] == [LABEL]


def test_another_process_that_has_the_log_is_named_and_its_death_frees_it(tmp_path):
    path = written(tmp_path / "clicks.jsonl")
    holder = other_process(HOLD, path, stdin=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(ValueError, match=rf"open already in process {holder.pid} on .*; close it there"):
            Log(path)
        assert tuple(read(path)[0]) == THREE  # reading needs no lock
    finally:
        os.kill(holder.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
        holder.communicate()
    log = Log(path)
    assert tuple(log.events) == THREE and log.problems == []
    log.close()
    assert [p.name for p in tmp_path.iterdir() if "lock" in p.name] == []


def test_a_page_waits_for_one_that_was_left_and_others_do_not(tmp_path):
    path = written(tmp_path / "clicks.jsonl")
    left = other_process(HOLD, path, stdin=subprocess.PIPE)
    assert left.stdout.readline() == "open\n"
    with pytest.raises(ValueError, match="open already"):
        Log(path)
    threading.Timer(0.3, lambda: (left.kill(), left.wait())).start()
    log = Log(path, page=True)
    assert tuple(log.events) == THREE
    log.close()
    left.communicate()


class Broken:
    """A file whose writing fails once, after so many bytes."""

    def __init__(self, file, room, error):
        self.file, self.room, self.error = file, room, error

    def write(self, line):
        if self.error is None:
            return self.file.write(line)
        error, self.error = self.error, None
        written = self.file.write(line[: self.room])
        if error == "short":
            return written
        raise error

    def __getattr__(self, name):
        return getattr(self.file, name)


@pytest.mark.parametrize("room", [0, 1, 30])
@pytest.mark.parametrize("error", ["short", OSError(errno.ENOSPC, "No space left"), OSError(errno.EIO, "Input/output error")])
def test_a_full_disk_leaves_no_half_line_and_the_same_act_can_be_written_again(tmp_path, room, error):
    log = Log(tmp_path / "clicks.jsonl")
    log.append(THREE[0])
    before, log._file = log.path.read_bytes(), Broken(log._file, room, error)
    why = "mend it" if getattr(error, "errno", 0) == errno.EIO else "the disk is full: free some space"
    with pytest.raises(OSError, match=f"{why} and try again"):
        log.append(LABEL)
    assert log.path.read_bytes() == before and LABEL.id not in log and log.events == [THREE[0]]
    log.append(LABEL)
    log.close()
    assert read(log.path) == ([THREE[0], LABEL], [])


def test_an_interrupt_while_writing_leaves_what_the_session_knows(tmp_path):
    log = Log(tmp_path / "clicks.jsonl")
    log._file = Broken(log._file, 1000, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        log.append(LABEL)
    assert log.path.read_bytes() == b"" and LABEL.id not in log
    log.close()


@pytest.mark.skipif(os.name == "nt", reason="Windows does not delete an open file")
@pytest.mark.parametrize("how", ["deleted", "moved", "replaced"])
def test_a_log_that_is_gone_says_so_instead_of_taking_clicks_nobody_will_find(tmp_path, how):
    log = Log(tmp_path / "clicks.jsonl")
    log.append(THREE[0])
    log.path.rename(tmp_path / "away")
    if how == "deleted":
        (tmp_path / "away").unlink()
    if how == "replaced":
        log.path.write_bytes(b"")
    with pytest.raises(OSError, match=r"moved or deleted while it was open.*open the session again"):
        log.append(LABEL)
    assert LABEL.id not in log
    log.close()


def test_a_file_where_the_folder_should_be_is_told_with_the_remedy(tmp_path):
    (tmp_path / "me").write_text("")
    with pytest.raises(OSError, match=r"cannot be written .*another folder for the session \(work=\)"):
        Log(tmp_path / "me" / "clicks.jsonl")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="this user may write everywhere")
def test_a_read_only_folder_is_told_before_any_work(tmp_path):
    (tmp_path / "me").mkdir(mode=0o500)
    with pytest.raises(OSError, match=r"cannot be written .*another folder for the session \(work=\)"):
        Log(tmp_path / "me" / "clicks.jsonl")
