from .cka import linear_cka as linear_cka
from .folds import make_folds as make_folds
from .linear_classifier import probe_accuracy as probe_accuracy
from .pair_statistics import PairStatistics as PairStatistics, compare_pairs as compare_pairs
from .ridge import Agreement as Agreement, ridge_r2 as ridge_r2
from .similarity import (
    Similarity as Similarity,
    band_similarity as band_similarity,
    collect_features as collect_features,
)
