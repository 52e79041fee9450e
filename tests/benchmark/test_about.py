from pathlib import Path

from fdkd_lightning.benchmark.about import about_benchmark


def test_the_command_can_be_run_again_and_names_no_home() -> None:
    about = about_benchmark(["benchmark", f"--folder={Path.home()}/secret/x"])
    assert about["command"].startswith("fdkd benchmark --folder=")
    assert str(Path.home()) not in about["command"]
    assert {"torch", "lightning", "python"} <= about["versions"].keys()
