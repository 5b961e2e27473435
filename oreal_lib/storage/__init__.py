"""What every other folder stands on, and nothing about learning: files that are whole, one writer at a time, work that can be stopped.

Where to start: `atomic` (a file is whole or not there), `checked` (a file shows whether it was changed), `lock` (who may write in a
folder), `progress` (what long work says). Then `checkpoint`, `interrupt`, `processes`, `yaml_file`, `paths`, `provenance`.
"""
