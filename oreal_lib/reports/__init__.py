"""From finished runs to tables, figures and verdicts; nothing here trains or asks a network anything new.

Start with `frames`: `load` gives one row per run and step, `per_run` one row per run, and every number keeps its runs, its n and its
spread. `tables_1_and_3`, `table_2`, `table_4`, `between`, `mechanism`, `claims` with `verdicts`, and `ranking` each answer one
question about such a frame. `figures`, `mechanism_figures`, `across_figures` and `selections` draw, always into Axes that they are
given. `table` is how numbers are written. Notebooks 20 to 29 are the reports made of these.
"""
