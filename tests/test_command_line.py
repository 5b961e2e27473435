"""`python -m oreal_lib COMMAND`: one line for what is wrong, and nothing that is not needed is imported."""

import re
import subprocess
import sys

import pytest
import yaml

from oreal_lib.__main__ import main

CAMVID = ["--set", "dataset=camvid", "data_options={}", "data_root=/no/such"]


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["list", "nope"], "no parameter file"),
        (["run", "demo", "--set", "seed"], "write KEY=VALUE"),
        (["run", "demo", "--only", "x"], "has no run 'x'"),
        (["run", "demo", "--set", "seed=[0"], "'seed=[0' is not valid YAML"),
        (["run", "demo", "--set", "seed=1", "--set", "seed=2"], "seed twice"),
        (["run", "demo", "--jobs", "0"], "--jobs is 0, but must be at least 1"),
        (["plan", "demo", "--jobs", "-1"], "--jobs is -1, but must be at least 1"),
        (["report", "demo", "--only", "x"], "no report 'x'; it has: 20_table1_aualc"),
        (["run", "demo", *CAMVID], "nothing was started, .* folder /no/such does not exist"),
        (["run", "table1@camvid", "--root", "/no/such"], "nothing was started, .* folder /no/such does not exist"),
        (["run", "demo", "--set", "dataset=citiscapes"], "no data set 'citiscapes'; choose one of"),
        (["run", "demo", "--set", "data_options={scene: x}"], "scene is 'x'"),
        (["run", "demo", "--set", "device=gpu"], "device is 'gpu'; write auto"),
    ],
)
def test_a_wrong_command_exits_with_2_and_one_sentence_and_starts_nothing(arguments, sentence, capsys, tmp_path):
    assert main([*arguments, "--runs-dir", str(tmp_path / "runs")]) == 2
    error = capsys.readouterr().err
    assert re.search(sentence.replace("[", r"\["), error) and error.startswith("error: ") and error.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_an_option_that_is_unknown_is_an_error_but_those_of_snakemake_are_handed_on(monkeypatch, tmp_path):
    for command in (
        ["list", "demo", "--job", "2"],
        ["run", "demo", "--only", "x", "--job", "2"],
        ["data", "check", "toy", "--job"],
    ):
        with pytest.raises(SystemExit):
            main(command)
    given = []
    monkeypatch.setattr("oreal_lib.experiments.schedule.run_grid", lambda *words: given.append(words[5:]) or 0)
    assert main(["run", "demo", "--profile", "slurm", "--set-resources", "run:runtime=5", "--jobs", "3"]) == 0
    assert given == [("slurm", ["--set-resources", "run:runtime=5"])]


def test_the_list_and_the_plan_need_no_data_and_start_nothing(tmp_path, capsys):
    grid, runs = tmp_path / "mine.yaml", tmp_path / "runs"
    grid.write_text(yaml.safe_dump({"base": "voc", "set": {"data_root": "/no/such"}, "runs": [{"strategy": "random"}]}))
    assert main(["list", str(grid), "--runs-dir", str(runs)]) == 0
    assert [line.rpartition(" to ")[2] for line in capsys.readouterr().out.splitlines()] == ["do", "do"]  # step 1 is a run
    assert main(["plan", str(grid), "--runs-dir", str(runs), "--jobs", "2"]) == 0
    assert "2 runs, 2 to go" in (out := capsys.readouterr().out) and "GiB are free" in out
    assert not runs.exists()


def test_a_place_that_cannot_be_written_is_named_before_anything_starts(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["run", "demo", "--runs-dir", str(tmp_path / "file")]) == 2
    assert str(tmp_path / "file") in capsys.readouterr().err


def test_help_is_quick():
    code = "import sys; from oreal_lib.__main__ import main\ntry: main(['--help'])\nfinally: assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and "annotate" in done.stdout, done.stderr
