"""widget.js is made of functions that fit on a screen or two."""

import re
from pathlib import Path

import oreal_lib.annotate

TEXT = (Path(oreal_lib.annotate.__file__).parent / "widget.js").read_text(encoding="utf-8")
BEGIN = re.compile(r"^(  )?(?:export )?(?:async )?(?:function )?(\w+)\([^;]*\) \{$")  # a function, or a method of the class


def test_no_function_of_the_page_has_more_than_100_lines():
    lines = TEXT.splitlines()
    lengths = {}
    for start, line in enumerate(lines):
        if found := BEGIN.match(line):
            end = next(i for i in range(start, len(lines)) if lines[i] == f"{found[1] or ''}}}")
            lengths[found[2]] = end - start + 1
    assert len(lengths) > 80 and {"outline", "receivePicture", "constructor", "onKey"} <= set(lengths)
    assert {name: n for name, n in lengths.items() if n > 100} == {}
