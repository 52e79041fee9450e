from .band_curves import BandPoint as BandPoint, band_curves as band_curves
from .cka import linear_cka as linear_cka
from .folds import make_folds as make_folds
from .gradients import TermGradient as TermGradient, term_gradients as term_gradients
from .layer_similarity import LayerPair as LayerPair, layer_similarities as layer_similarities
from .linear_classifier import probe_accuracy as probe_accuracy
from .pair_statistics import PairStatistics as PairStatistics, compare_pairs as compare_pairs
from .ridge import Agreement as Agreement, ridge_r2 as ridge_r2
from .similarity import (
    Similarity as Similarity,
    band_similarity as band_similarity,
    collect_features as collect_features,
)
