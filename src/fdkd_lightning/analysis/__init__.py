"""Looking at features: what two modalities share, and where."""

from fdkd_lightning.analysis.similarity import (
    Similarity,
    band_similarity,
    collect_features,
    plot_similarity,
)

__all__ = ["Similarity", "band_similarity", "collect_features", "plot_similarity"]
