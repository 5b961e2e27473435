"""Active learning for semantic segmentation on superpixels: OREAL (Wu et al., WACV 2025) and its baselines.

The paper stands in fifteen files. Read them in this order; the folders below can stay shut until you need them.

    types         the values that everything passes around        metrics    IoU, area under the learning curve
    superpixels   how an image is cut                             config     one run, fully described
    oracle        what a click buys                               batches    augmented training images
    scores        how uncertain a pixel is                        predict    probabilities, confusion matrices
    aggregate     mean, max, and what lies between                train      until validation stops improving
    balance       what each class is owed (Eq. 3)                 setting    data, oracle and budget of a run
    select        the top of a ranking                            loop       ask, answer, train, test
    strategies    six sentences made of these words

What the paper stands on: models (networks), data (data sets), fast (the same numbers, sooner), weak (labels that name several
classes: Table 4), storage (files that survive a crash), beyond (what is not in the paper). What is done with it: experiments (grids of runs), reports (tables and
figures), explore (widgets), lessons (the course), annotate (a person is the oracle). draw has the colors and the basic pictures,
__main__ the command line.
"""

__version__ = "0.1.0"
