"""Be the oracle: label your own pictures, one click per superpixel, in the order in which a network asks.

Read in this order: `events` (the log on disk, which is the truth), `pictures` (a folder of images, cut once), `session` (what the
events add up to), `rounds` (train on the clicks and ask again, in a process of its own), `export`, `widget` (the only one that
knows Jupyter).
"""
