"""The same numbers, sooner. Each function here has a plain twin that a reader of the paper should read instead, and a test in
`tests/fast/` that compares the two; `Regions`, `predict` and `batches` call them. Nothing here is needed to understand OREAL.

Start with `tiles.py` (pixels in pieces that fit into a CPU's cache); `remembering.py` spares a second look at the pool, `ahead.py`
prepares the next batches meanwhile.
"""
