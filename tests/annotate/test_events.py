"""The log is the truth: whatever happens to its file, each whole line is read and each damaged one is named."""

import errno
import os
import random
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from oreal_lib.annotate.events import WHATS, Event, Log, from_line, in_words, parse, read_whole, to_line
from oreal_lib.storage import checked

LABEL = Event(
    "label", "a1", "2026-01-02T03:04:05.678Z", "köln/Straße 1", (0, 7, 65_534), 'say "no", ok', "drag", 3, 1.25, note="{\\n}\n\r\0"
)
THREE = [Event("open", "o1", note="by a test"), LABEL, Event("undo", "u1", seconds=0.5)]
HOLD = (
    "import sys\nfrom oreal_lib.annotate.events import Log\nlog = Log(sys.argv[1])\nprint('open', flush=True)\nsys.stdin.read()\n"
)


@pytest.fixture
def path(tmp_path):
    """A log with three events."""
    log = Log(tmp_path / "clicks.jsonl")
    for event in THREE:
        log.append(event)
    log.close()
    return log.path


@pytest.mark.parametrize("what", WHATS)
def test_an_event_comes_back_from_its_line(what):
    for event in (Event(what, "x"), replace(LABEL, what=what), replace(LABEL, what=what, pieces="0,0,1,2,abc=")):
        line = to_line(event)
        assert from_line(line) == event
        assert line.count(b"\n") == 1 and line.endswith(b"\n")


@pytest.mark.parametrize(
    "act, words",
    [
        ([Event("label", "", image="a", superpixels=(3,), to="sky")], '1 superpixel of "a" labeled sky'),
        ([Event("label", "", image="a", superpixels=(3, 4))], '2 superpixels of "a" cleared'),
        ([Event("label", "", image="a", superpixels=(3,), to="sky", how="accept")], '1 superpixel of "a" accepted as sky'),
        (
            [Event("label", "", image="a", superpixels=(i,), to=to, how="all") for i, to in enumerate(("sky", "road"))],
            '2 superpixels of "a" accepted as predicted',
        ),
        ([Event("label", "", image="a", superpixels=(3,), to="sky", how="fill")], '1 superpixel of "a" filled with sky'),
        ([Event("skip", "", image="a", superpixels=(3,))], '1 superpixel of "a" skipped'),
        ([Event("split", "", image="a", superpixels=(3,), how="region")], '1 superpixel of "a" cut anew'),
        ([Event("paint", "", image="a", to="sky", how="brush")], 'pixels of "a" painted sky'),
        ([Event("paint", "", image="a", how="brush")], 'pixels of "a" erased'),
    ],
)
def test_each_kind_of_act_is_told_in_words(act, words):
    assert in_words(act) == words


def test_an_event_of_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="'dance', but must be one of open, label"):
        Event("dance", "x")


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


@pytest.mark.parametrize(
    "values, new", [({"what": "undo", "id": "u", "mood": "good"}, "mood"), ({"what": "dance", "id": "d"}, "dance")]
)
def test_a_log_of_a_newer_version_is_not_damaged_and_no_repair_takes_lines_out_of_it(path, values, new):
    with open(path, "a") as file:
        file.write(checked.dumps(values) + "\n")
    data = path.read_bytes()
    for repair in (False, True):
        with pytest.raises(ValueError, match=f"line 4 of .* was made by a newer version: it holds '{new}'.*update the library"):
            Log(path, repair)
    assert path.read_bytes() == data


def test_a_log_cut_at_any_byte_holds_the_events_of_its_whole_lines(path):
    data = path.read_bytes()
    ends = [i + 1 for i, byte in enumerate(data) if byte == ord("\n")]
    assert len(ends) == 3
    for cut in range(len(data) + 1):
        n = sum(end <= cut for end in ends)
        assert parse(data[:cut], "log") == (THREE[:n], [], [0, *ends][n])


def test_a_line_feed_that_was_changed_is_noticed():
    """Python's splitlines would end a line at a carriage return, too."""
    data = b"".join(map(to_line, THREE))
    place = data.index(b"\n")
    for byte in (b"\r", b"\v", b"\x85", b" "):
        events, damaged, _ = parse(data[:place] + byte + data[place + 1 :], "log")
        assert events == THREE[2:] and [number for number, _ in damaged] == [1], byte


def test_line_ends_of_windows_do_no_harm():
    data = b"\xef\xbb\xbf" + b"".join(map(to_line, THREE)).replace(b"\n", b"\r\n")  # as an editor there saves it
    assert parse(data, "log") == (THREE, [], len(data))


@pytest.mark.parametrize("torn", [to_line(replace(LABEL, id="a2"))[:20], bytes(500)])  # zeros: after a power failure
def test_a_torn_last_line_is_reported_and_kept_aside(path, monkeypatch, torn):
    monkeypatch.setattr("oreal_lib.annotate.events.time.strftime", lambda how: "20260102T030405")  # all in one second
    data = path.read_bytes()
    for again in (0, 1):
        path.write_bytes(data + torn)
        assert read_whole(path) == THREE
        log = Log(path)
        (problem,) = log.problems
        aside = list(path.parent.glob("*.torn-*"))
        assert f"({len(torn)} bytes)" in problem and sum(file.name in problem for file in aside) == 1
        assert [file.read_bytes() for file in aside] == [torn] * (1 + again)
        assert log.events == THREE and path.read_bytes() == data
    log.append(Event("redo", "r1"))
    assert read_whole(path) == [*THREE, Event("redo", "r1")]


@pytest.mark.parametrize("torn", [b"", b"torn"])
def test_a_damaged_line_in_the_middle_is_refused_by_its_number_and_skipped_only_when_told_so(path, torn):
    data = path.read_bytes().replace(b"drag", b"drug") + torn
    path.write_bytes(data)
    for look in (Log, read_whole):
        with pytest.raises(ValueError, match=r"line 2 of clicks.jsonl is damaged: its checksum is wrong.*repair=True"):
            look(path)
    assert path.read_bytes() == data and not list(path.parent.glob("*.damaged-*"))
    log = Log(path, repair=True)
    (aside,) = path.parent.glob("*.damaged-*")
    assert log.events == [THREE[0], THREE[2]] == read_whole(path) and aside.read_bytes() == data
    assert "line 2" in log.problems[0] and aside.name in log.problems[0]
    assert ["torn" in p for p in log.problems[1:]] == [True] * bool(torn)


def test_two_copies_of_a_log_put_together_count_once(path):
    path.write_bytes(2 * path.read_bytes())
    log = Log(path)
    assert log.events == THREE and log.problems == [] and "a1" in log and "a2" not in log


def test_an_act_is_in_the_file_before_append_returns(tmp_path):
    log = Log(tmp_path / "deep" / "clicks.jsonl")
    for n, event in enumerate(THREE, 1):
        log.append(event)
        assert read_whole(log.path) == THREE[:n]


def test_the_second_opening_in_one_process_takes_over_and_the_first_says_so(tmp_path):
    first = Log(tmp_path / "clicks.jsonl")
    second = Log(tmp_path / "." / "clicks.jsonl")
    assert first.closed and not second.closed
    with pytest.raises(OSError, match="opened again elsewhere"):
        first.append(LABEL)
    first.close()  # does not disturb the second
    second.append(LABEL)
    second.close()
    assert read_whole(second.path) == [LABEL]


@pytest.mark.slow
def test_another_process_that_has_the_log_is_named_and_its_death_frees_it(path, monkeypatch):
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], text=True, stdout=subprocess.PIPE, stdin=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(ValueError, match=rf"open already in process {holder.pid} on .*; close it there"):
            Log(path)
        assert read_whole(path) == THREE  # reading needs no lock
    finally:
        os.kill(holder.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
        holder.communicate()
    monkeypatch.setattr("oreal_lib.annotate.events.PATIENCE", 8.0)
    assert Log(path).events == THREE


@pytest.fixture
def breaks(path):
    """A function: the log, whose next write fails after so many bytes with this error, or ends there without one."""

    class Broken:
        def __init__(self, file, room, errors):
            self.file, self.room, self.errors = file, room, errors

        def write(self, line):
            if not self.errors:
                return self.file.write(line)
            written, error = self.file.write(line[: self.room]), self.errors.pop()
            if error is None:
                return written
            raise error

        def __getattr__(self, name):
            return getattr(self.file, name)

    def broken(room, error):
        log = Log(path)
        log._file = Broken(log._file, room, [error])
        return log

    return broken


NEW = replace(LABEL, id="new")


@pytest.mark.parametrize("room", [0, 1, 30])
@pytest.mark.parametrize(
    "error, why",
    [
        (None, "the disk is full: free some space"),
        (OSError(errno.ENOSPC, "No space left"), "the disk is full: free some space"),
        (OSError(errno.EIO, "Input/output error"), "the drive does not answer: connect it"),
    ],
)
def test_a_full_disk_leaves_no_half_line_and_the_same_act_can_be_written_again(path, breaks, room, error, why):
    before, log = path.read_bytes(), breaks(room, error)
    with pytest.raises(OSError, match=f"{why} and try again"):
        log.append(NEW)
    assert path.read_bytes() == before and NEW.id not in log and log.events == THREE
    log.append(NEW)
    assert read_whole(path) == [*THREE, NEW]


def test_an_interrupt_while_writing_leaves_what_the_session_knows(path, breaks):
    before, log = path.read_bytes(), breaks(1000, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        log.append(NEW)
    assert path.read_bytes() == before and NEW.id not in log


@pytest.mark.skipif(os.name == "nt", reason="Windows does not delete an open file")
@pytest.mark.parametrize("how", ["deleted", "moved", "replaced"])
def test_a_log_that_is_gone_says_so_instead_of_taking_clicks_nobody_will_find(path, how):
    log = Log(path)
    path.rename(path.with_name("away"))
    if how == "deleted":
        path.with_name("away").unlink()
    if how == "replaced":
        path.write_bytes(b"")
    with pytest.raises(OSError, match=r"moved or deleted while it was open.*open the session again"):
        log.append(NEW)
    assert NEW.id not in log


def test_a_file_where_the_folder_should_be_is_told(tmp_path):
    (tmp_path / "me").write_text("")
    with pytest.raises(OSError, match="me cannot be written"):
        Log(tmp_path / "me" / "clicks.jsonl")
