"""The page is made of files and functions that fit on a few screens."""

import re

from oreal_lib.annotate.widget import HERE, PARTS, STYLES, script

BEGIN = re.compile(r"^(  )?(?:export )?(?:async )?(?:function )?(\w+)\([^;]*\) \{$")  # a function, or a method of the class


def test_no_function_of_the_page_has_more_than_100_lines():
    lines = script().splitlines()
    lengths = {}
    for start, line in enumerate(lines):
        if found := BEGIN.match(line):
            end = next(i for i in range(start, len(lines)) if lines[i].rstrip(",") == f"{found[1] or ''}}}")
            lengths[found[2]] = end - start + 1
    assert len(lengths) > 80 and {"outline", "receivePicture", "constructor", "onKey"} <= set(lengths)
    assert {name: n for name, n in lengths.items() if n > 100} == {}


def test_no_part_of_the_page_has_more_than_300_lines_and_none_is_left_out():
    files = sorted(HERE.iterdir())
    assert [file.name for file in files] == sorted([f"{part}.js" for part in PARTS] + [f"{part}.css" for part in STYLES])
    assert [file.name for file in files if len(file.read_text(encoding="utf-8").splitlines()) > 300] == []


def test_no_two_parts_give_the_page_a_method_or_a_name_of_the_same_name():
    text = script()
    for pattern in (r"^  (?:async )?(\w+)\([^;]*\) \{$", r"^export (?:async )?(?:function|const|class) (\w+)"):
        names = re.findall(pattern, text, re.M)
        assert len(names) > 60 and sorted(names) == sorted(set(names))
