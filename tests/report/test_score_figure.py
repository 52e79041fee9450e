from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from fdkd_lightning.report.score_figure import plot_scores
from fdkd_lightning.study.results import Scores

BLUE = (0x1F, 0x77, 0xB4)  # matplotlib's C0


def drawn(path: Path, columns: Scores, **changes: Any) -> np.ndarray:
    """The pixels [H, W, 3] of the plot, 0 to 255."""
    settings = {
        "directions": dict.fromkeys(direction for direction, _ in columns),
        "regimes": dict.fromkeys(regime for _, regime in columns),
        "methods": {method: {"controls": ["another"]} for method in next(iter(columns.values()))},
        "baseline": "alone",
        "metric": "accuracy",
        "seeds": [0, 1, 2],
    }
    plot_scores(path / "table.png", settings | changes, columns)
    assert (path / "table.png").read_bytes().startswith(b"\x89PNG\r\n")
    return np.rint(255 * imread(path / "table.png")[..., :3])


def blue(pixels: np.ndarray) -> np.ndarray:
    """Where means and their deviations are drawn."""
    return np.asarray((np.abs(pixels - BLUE) < 2).all(-1))


def column(gain: float = 0.2) -> dict[str, list[float]]:
    return {"alone": [0.5, 0.52, 0.48], "fdkd": [0.5 + gain, 0.55 + gain, 0.45 + gain]}


def bands(pixels: np.ndarray) -> list[np.ndarray]:
    """The rows of either of two methods, the first on top."""
    rows = np.flatnonzero(blue(pixels).any(1))
    (gap,) = np.flatnonzero(np.diff(rows) > 5)
    return [blue(pixels)[part] for part in np.split(rows, [gap + 1])]


def test_better_is_further_to_the_right(tmp_path: Path) -> None:
    pixels = drawn(tmp_path, {("a2v", "full"): column()})
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 20
    means = [band.nonzero()[1].mean() for band in bands(pixels)]
    assert means[1] > means[0] + 50


def test_a_wider_spread_is_a_longer_line(tmp_path: Path) -> None:
    wide = {"alone": [0.3, 0.5, 0.7], "fdkd": [0.49, 0.5, 0.51]}
    pixels = drawn(tmp_path, {("a2v", "full"): wide})
    lengths = [np.ptp(band.nonzero()[1]) for band in bands(pixels)]
    assert lengths[0] > 5 * lengths[1]


def test_every_direction_and_regime_has_its_panel(tmp_path: Path) -> None:
    one = drawn(tmp_path, {("a2v", "full"): column()})
    columns = {(d, r): column() for r in ("full", "few") for d in ("a2v", "v2a", "both")}
    six = drawn(tmp_path, columns)
    assert six.shape[0] > 1.5 * one.shape[0]
    assert six.shape[1] > 2 * one.shape[1]
    assert blue(six).sum() == pytest.approx(6 * blue(one).sum(), rel=0.2)


def test_each_panel_shows_its_own_column(tmp_path: Path) -> None:
    pixels = drawn(tmp_path, {("a2v", "full"): column(0.2), ("v2a", "full"): column(-0.2)})
    middle = pixels.shape[1] // 2
    better = []
    for half in (pixels[:, :middle], pixels[:, middle:]):
        alone, fdkd = (band.nonzero()[1].mean() for band in bands(half))
        better.append(fdkd > alone)
    assert better == [True, False]


def test_one_seed_is_drawn_without_a_deviation(tmp_path: Path) -> None:
    single = {"alone": [0.5], "fdkd": [0.7]}
    pixels = blue(drawn(tmp_path, {("a2v", "full"): single}, seeds=[0]))
    assert pixels.any()
    spread = blue(drawn(tmp_path, {("a2v", "full"): column()}))
    assert pixels.sum() < spread.sum()
