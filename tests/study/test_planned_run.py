from pathlib import Path

from fdkd_lightning.study.planned_run import Run, is_config, run_slug


def test_a_run_as_a_command() -> None:
    run = Run("m", "d", "r", 5, "", ("a.yaml", "--x=b.yaml", "b.yml", "--y=1"))
    assert run.command() == [
        "--config=a.yaml",
        "--x=b.yaml",
        "--config=b.yml",
        "--y=1",
        "--seed_everything=5",
    ]


def test_a_name_tells_the_run_and_ends_in_its_fingerprint() -> None:
    run = Run("FD KD/é", "a → v", "full", 0, "model.lr=0.1", ("--x=1",))
    assert run.name == f"FD_KD_é-a___v-full-model.lr=0.1-seed0-{run.fingerprint}"
    assert run_slug("m", "d", "r", "", 3) == "m-d-r-seed3"
    assert Path(run.name).name == run.name
    assert len(run.fingerprint) == 8


def test_a_fingerprint_holds_the_contents_of_configurations_and_the_teachers(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("x: 1")
    teacher = Run("teacher", "audio", "r", 0, "", (str(path),))
    student = Run("m", "d", "r", 0, "", ("--y=1",), (("audio", teacher),))
    before = (teacher.fingerprint, student.fingerprint)
    path.write_text("x: 2")
    assert not {teacher.fingerprint, student.fingerprint} & {*before}


def test_an_option_whose_value_is_a_path_is_no_configuration() -> None:
    assert [is_config(arg) for arg in ("a.yaml", "b.yml", "--x=a.yaml", "a.json")] == [
        True,
        True,
        False,
        False,
    ]
