"""Active learning for semantic segmentation on superpixels: OREAL (Wu et al., WACV 2025) and its baselines.

Reading order: types, scores, aggregate, balance, select, strategies (the paper), then loop, train, data, models,
then results, figures, batch. Nothing heavy is imported here.
"""

__version__ = "0.1.0"
