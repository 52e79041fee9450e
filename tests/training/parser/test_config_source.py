from pathlib import Path

import pytest

from fdkd_lightning.training.parser.config_source import (
    Setting,
    find_named,
    find_setting,
    find_value,
    shorten,
)

TEXT = """
model:
  init_args:
    student: &network
      class_path: mine.Net
      init_args: {width: 8}
    teachers:
      audio: {class_path: mine.Pretrained, init_args: {model: *network, checkpoint: a.ckpt}}
    optimizer: {class_path: SGD, init_args: {lr: 0.05}}
trainer: {callbacks: [{class_path: Stop, init_args: {monitor: loss}}]}
"""


@pytest.fixture
def given(tmp_path: Path) -> list[str]:
    (tmp_path / "a.yaml").write_text(TEXT)
    (tmp_path / "b.yaml").write_text("model.init_args.task_weight: 2\ntrainer:\n  max_epochs: 3")
    return ["fit", f"--config={tmp_path / 'a.yaml'}", "-c", str(tmp_path / "b.yaml")]


@pytest.mark.parametrize(
    ("keys", "name", "value", "line"),
    [
        ("model.student.width", "model.student.width", "8", 6),
        ("model.teachers.checkpoint", "model.teachers.audio.checkpoint", "a.ckpt", 8),
        ("lr", "model.optimizer.lr", "0.05", 9),
        ("trainer.callbacks.monitor", "trainer.callbacks.monitor", "loss", 10),
        ("model.teachers.audio.model.width", "model.teachers.audio.model.width", "8", 6),
    ],
)
def test_a_key_is_found_in_its_file_and_line(
    given: list[str], keys: str, name: str, value: str, line: int
) -> None:
    found = find_setting(given, keys.split("."))
    assert found is not None
    assert (found.name, found.value) == (name, value)
    assert found.where.endswith(f"a.yaml, line {line}")


def test_the_command_line_overrides_and_a_later_file_too(given: list[str]) -> None:
    found = find_setting(given, ["trainer", "max_epochs"])
    assert found is not None
    assert found.where.endswith("b.yaml, line 3")
    found = find_setting([*given, "--trainer.max_epochs", "5"], ["trainer", "max_epochs"])
    assert found == Setting(("trainer", "max_epochs"), "5", "on the command line")
    logger = '--trainer.logger={"class_path": "CSV", "init_args": {"save_dir": "x"}}'
    found = find_setting([*given, logger], ["trainer", "logger", "save_dir"])
    assert found is not None
    assert (found.name, found.where) == ("trainer.logger.save_dir", "on the command line")


def test_values_are_found_if_there_are_such(given: list[str]) -> None:
    found = find_value(given, "a.ckpt")
    assert found is not None
    assert found.name == "model.teachers.audio.checkpoint"
    assert [found.name for found in find_named(given, "lr", "5e-2")] == ["model.optimizer.lr"]
    # Two networks have the same width, from one line.
    [found] = find_named(given, "width", "8")
    assert found.where.endswith("line 6")
    assert len(find_named([*given, "--model.other.width=8"], "width", "8")) == 2
    assert find_named(given, "width", "7") == find_named(given, "height", "8") == []
    assert find_setting(given, ["model", "lr"], "0.1") is None
    assert find_setting(given, ["nothing"]) is None


@pytest.mark.parametrize("text", ["a: [", "a: &x [*x]", "", "- 1", "a: \ud800"])
def test_files_that_are_no_configuration_hold_nothing(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    assert find_setting([f"--config={path}", "--config=missing.yaml"], ["b"]) is None


def test_a_mapping_is_named_without_its_content(given: list[str]) -> None:
    found = find_setting(given, ["model", "optimizer"])
    assert found is not None
    assert found.text == "model.optimizer"
    found = find_setting(given, ["model", "optimizer", "lr"])
    assert found is not None
    assert found.text == "model.optimizer.lr=0.05"
    assert shorten("a\n b" * 100).endswith(" ...")
