import math

from fdkd_lightning.report.curve_figure import curve_figure
from fdkd_lightning.report.run_log import Point


def points(*values: float) -> list[Point]:
    return [Point(10 * k, k, value) for k, value in enumerate(values)]


def test_stages_share_a_panel_and_losses_come_first() -> None:
    figure = curve_figure(
        {
            "val/accuracy": points(0.5, 0.6),
            "train/low": points(2.0, 1.0),
            "lr-SGD": points(0.1, 0.05),
            "val_my_loss": points(1.0, 2.0),
            "train_my_loss": points(1.0, 3.0),
            "val/loss": points(3.0, 2.0),
            "train/loss": points(4.0, 0.0),
        }
    )
    assert [panel.name for panel in figure.panels] == [
        *("loss", "low", "my_loss", "accuracy", "lr-SGD")
    ]
    assert [line.stage for line in figure.panels[2].lines] == ["train", "val"]
    loss = figure.panels[0]
    assert [(line.stage, line.last) for line in loss.lines] == [("train", 0.0), ("val", 2.0)]
    assert figure.panels[-1].lines[0].stage == ""
    assert figure.chosen is None


def test_a_terms_share_of_the_gradient_is_beside_it() -> None:
    names = ["gradient_share/task", "gradient_share/low", "gradient_share/gone"]
    figure = curve_figure(
        {name: points(0.5, 0.2) for name in [*names, "train/task", "distillation/low", "lr"]}
    )
    assert [panel.name for panel in figure.panels] == [
        "task",
        "task: share of the gradient",
        "distillation/low",
        "low: share of the gradient",
        "lr",
        "gone: share of the gradient",
    ]


def test_no_series_hides_another() -> None:
    names = ["loss", "train/loss", "train_loss", "val/loss", "train/low", "low"]
    figure = curve_figure({name: points(float(k)) for k, name in enumerate(names)})
    lines = [line.last for panel in figure.panels for line in panel.lines]
    assert sorted(lines) == [0, 1, 2, 3, 4, 5]
    for panel in figure.panels:
        assert len({line.stage for line in panel.lines}) == len(panel.lines)
        assert len(panel.lines) == 1 or "" not in {line.stage for line in panel.lines}
    assert len({panel.name for panel in figure.panels}) == len(figure.panels)


def test_points_are_where_their_values_are() -> None:
    figure = curve_figure({"train/loss": points(4.0, 1.0, 0.0)}, chosen_step=10)
    [panel] = figure.panels
    assert (figure.x.low, figure.x.high) == (0.0, 20.0)
    assert (panel.y.low, panel.y.high) == (0.0, 4.0)
    assert panel.lines[0].pieces == ["0.0,0.0 50.0,75.0 100.0,100.0"]
    assert figure.chosen == 50.0


def test_what_is_not_finite_interrupts_the_curve() -> None:
    values = (4.0, 3.0, math.nan, 2.0, math.inf, math.nan)
    line = curve_figure({"train/loss": points(*values)}).panels[0].lines[0]
    assert len(line.pieces) == 1
    assert len(line.pieces[0].split()) == 2
    assert len(line.dots) == 1
    only = curve_figure({"train/loss": points(math.nan)}).panels[0].lines[0]
    assert not only.pieces
    assert not only.dots
