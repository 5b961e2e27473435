"""Be the oracle: label your own pictures, one click per superpixel, in the order in which a network asks.

Read in this order: `events` (the log on disk, which is the truth), `pictures` (a folder of images, cut once), `board` (what the events
add up to), `named` (the classes), `cuts` (other superpixels), `session` (one person and one folder), `live`, `beside` and `quality`
(learn after every click, in a process that stays, and say how well), `rounds` and `training` (train on the clicks and ask again, in a
process of its own), `saved` (a session read from disk), `out/` (masks, a network for other pictures), `several/` (several people, masks
that exist already), `jpegs`, `widget` with page/ (the only one that knows Jupyter) and `serve`.
"""
