"""Sentences and table of a sweep."""

from fdkd_lightning.study.sweep.sweep_results import SweepResults, Trial


def sweep_lines(results: SweepResults) -> list[str]:
    """Return the report's lines: the best trial, importance of the parameters, all trials.

    Example:
        >>> trial = Trial("a1", "finished", {"model.lr": 0.1}, 0.5, 0.6, 2, 3, 1.0)
        >>> results = SweepResults("s", "grid", "val/accuracy", True, [trial])
        >>> for line in sweep_lines(results):
        ...     print(line)
        1 of 1 trials finished; compared by val/accuracy at the last validation (higher is better).
        Best: 0.5000, run a1, model.lr=0.1. It is the best of 1 on the same validation data, hence \
optimistic: judge it on test data, with seeds of its own.
        <BLANKLINE>
        | run | state | last | best | at | of | s | lr |
        |---|---|---|---|---|---|---|---|
        | a1 | finished | 0.5000 | 0.6000 | 2 | 3 | 1.0 | 0.1 |
        <BLANKLINE>
        last: val/accuracy at the last validation; best, at: the best validation and its number; of:
        validations; s: seconds.
    """
    lines = sweep_sentences(results)
    if results.importance:
        lines += ["", "| parameter | importance (PED-ANOVA, finished trials) |", "|---|---|"]
        lines += [f"| {name} | {share:.2f} |" for name, share in results.importance.items()]
    names = list(next((t.parameters for t in results.trials if t.parameters), {}))
    heads = ["run", "state", "last", "best", "at", "of", "s", *short_names(names).values()]
    lines += ["", f"| {' | '.join(heads)} |", f"|{len(heads) * '---|'}"]
    for trial in results.trials:
        cells = [cell.replace("|", "\\|") for cell in trial_cells(trial, names)]
        lines.append(f"| {' | '.join(cells)} |")
    return [
        *lines,
        "",
        f"last: {results.metric} at the last validation; best, at: the best validation and its "
        "number; of:",
        "validations; s: seconds.",
    ]


def sweep_sentences(results: SweepResults) -> list[str]:
    """Return how many trials finished, what became of the others, and the best."""
    finished, total = results.finished, len(results.trials)
    better = "higher" if results.maximize else "lower"
    sentences = [
        f"{len(finished)} of {total} trials finished; compared by {results.metric} at the last "
        f"validation ({better} is better)."
    ]
    sentences += [
        f"{sum(trial.state == state for trial in results.trials)} {meaning}."
        for state, meaning in MEANINGS.items()
        if any(trial.state == state for trial in results.trials)
    ]
    if finished:
        best = finished[0]
        settings = ", ".join(f"{name}={value}" for name, value in best.parameters.items())
        sentences.append(
            f"Best: {_number(best.last)}, run {best.run}, {settings}. It is the best of "
            f"{len(finished)} on the same validation data, hence optimistic: judge it on test "
            "data, with seeds of its own."
        )
    return sentences


MEANINGS = {
    "stopped": "stopped early",
    "failed": "failed",
    "running": "still running, or killed: start the sweep again",
    "waiting": "still waiting: start the sweep again",
}


def short_names(names: list[str]) -> dict[str, str]:
    """Map each dotted name to its last part, or to itself where two share that part.

    Example:
        >>> short_names(["a.lr", "b.lr", "b.threshold"])
        {'a.lr': 'a.lr', 'b.lr': 'b.lr', 'b.threshold': 'threshold'}
    """
    last = [name.rpartition(".")[2] for name in names]
    return {n: s if last.count(s) == 1 else n for n, s in zip(names, last, strict=True)}


def trial_cells(trial: Trial, names: list[str]) -> list[str]:
    """Return the cells of a trial's row; what it has not is empty."""
    at = "" if trial.best_validation is None else str(trial.best_validation)
    seconds = "" if trial.seconds is None else f"{trial.seconds:.1f}"
    values = [str(trial.parameters.get(name, "")) for name in names]
    numbers = [_number(trial.last), _number(trial.best), at, str(trial.validations), seconds]
    return [trial.run, trial.state, *numbers, *values]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
