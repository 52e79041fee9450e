from .similarity import (
    Similarity as Similarity,
    band_similarity as band_similarity,
    collect_features as collect_features,
)
