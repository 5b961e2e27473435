"""From a grid file to finished runs: for anyone who makes a table, not needed to understand the paper.

Start with `grid.py` (a YAML file becomes runs), then `run.py` (one run, which may be killed at any moment) and `run_folder.py` (what
it leaves on disk). `batch.py` executes a run's notebook, `schedule.py` does it for a whole grid, `plan.py` says what that takes.
"""
