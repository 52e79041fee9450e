from made_up import ALONE, study

from fdkd_lightning.report.cost_figure import Cost, cost_figures


def test_a_method_is_at_its_median_time_and_mean_score() -> None:
    settings, rows = study({("a2v", "full"): {"alone": ALONE, "fdkd": [0.7] * 5, "free": ALONE}})
    for row in rows:
        row.seconds = None if row.method == "free" else float(row.seed**2)
    figure = cost_figures(settings, rows)["a2v", "full"]
    assert [(cost.number, cost.method, cost.seconds) for cost in figure.costs] == [
        (1, "alone", 4.0),
        (2, "fdkd", 4.0),
    ]
    assert isinstance(figure.costs[0], Cost)
    assert [round(cost.score, 9) for cost in figure.costs] == [50, 70]
    assert figure.seconds.low == 0


def test_without_any_time_there_is_no_figure() -> None:
    assert cost_figures(*study({("a2v", "full"): {"alone": ALONE}})) == {}
