from fdkd_lightning.benchmark.result_files import Results
from fdkd_lightning.benchmark.row import Row
from fdkd_lightning.report.benchmark_table import row_cells, table_lines

MACHINE = {"processor": "X", "cores": 2, "threads": 2, "gpu": None, "load": 0.1}
ABOUT = {"command": "fdkd benchmark", "machine": MACHINE, "versions": {"torch": "2"}}


def test_the_command_comes_first_and_each_case_has_its_table() -> None:
    rows = [
        Row("loss", "64x512", "plain form", "s", 0.005, 0.005, 0.004, 0.006, 9),
        Row("memory", "map", "loss", "bytes", 2048, 2048, 2048, 2048, 1),
    ]
    about = {**ABOUT, "questions": {"loss": "How fast?"}, "skipped": {"loader": "no av"}}
    lines = table_lines(Results(rows, about), ["A sentence."])
    assert lines[2] == "    fdkd benchmark"
    assert lines.index("A sentence.") < lines.index("## loss") < lines.index("How fast?")
    assert "| 64x512 | plain form | 5 ms | 4 ms to 6 ms | 9 |  |  |" in lines
    assert "| map | loss | 2 KiB |  | 1 |  |  |" in lines
    assert lines[-1] == "loader was not measured: no av."


def test_parts_of_a_run_have_shares() -> None:
    row = Row("run", "batch 4", "a: student", "s", 0.1, 0.1, 0.1, 0.1, 3, "a: step", 0.4)
    assert row_cells(row)[-2:] == ["a: step", "40.0 %"]
