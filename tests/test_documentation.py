"""README and guides: every code block runs or, where it needs data or an account, is parsed."""

import csv
import importlib
import inspect
import re
import shlex
import sys
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import yaml
from PIL import Image

from fdkd_lightning import ImageRecipe, ResNet, export_student
from fdkd_lightning.cli import main
from fdkd_lightning.study.plan import method_runs, read_study, teacher_runs
from fdkd_lightning.study.study_cli import StudyCLI
from fdkd_lightning.training.command import FDKDCLI

ROOT = Path(__file__).parents[1]
GUIDES = ROOT / "examples/guides"
README = (ROOT / "README.md").read_text()
PAGES = {"README": README} | {page.stem: page.read_text() for page in sorted(GUIDES.glob("*.md"))}
LINES = 250


class Block(NamedTuple):
    """A fenced block of a page."""

    page: str
    language: str
    text: str


def blocks(page: str) -> Iterator[Block]:
    for language, text in re.findall(r"^```(\w+)\n(.*?)^```", PAGES[page], re.M | re.S):
        yield Block(page, language, text)


def of_language(*languages: str) -> list[Block]:
    return [b for page in PAGES for b in blocks(page) if b.language in languages]


def commands(text: str) -> list[list[str]]:
    """The shell commands of a block, comments and continued lines taken care of."""
    joined = text.replace("\\\n", " ")
    return [words for line in joined.splitlines() if (words := shlex.split(line, comments=True))]


FDKD = sorted(
    {
        " ".join(words)
        for block in of_language("sh")
        for words in commands(block.text)
        if words[0] == "fdkd"
    }
)


@pytest.fixture
def clone(tmp_path: Path, digits_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder that looks like a clone, with the digits in the user's cache folder."""
    for name in ("configs", "examples"):
        (tmp_path / name).symlink_to(ROOT / name)
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "fdkd_lightning").symlink_to(digits_root)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_language_of_the_blocks_is_checked() -> None:
    found = {block.language for page in PAGES for block in blocks(page)}
    assert found <= {"python", "yaml", "sh", "csv", "text"}


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= LINES


@pytest.mark.parametrize("page", [p for p in PAGES if p != "export"])
def test_python_runs_as_shown(page: str, clone: Path) -> None:
    namespace: dict[str, Any] = {}
    for block in blocks(page):
        if block.language == "python":
            # A batch instead of some minutes.
            code = re.sub(r"max_epochs=\d+", "fast_dev_run=True", block.text)
            exec(compile(code, f"{page}.md", "exec"), namespace)


def test_an_exported_student_is_loaded_as_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime")
    network = ResNet(2, 3, (1, 1, 1, 1), (8, 8, 8, 8)).eval()
    arguments = {"num_classes": 2, "in_chans": 3, "layers": [1] * 4, "channels": [8] * 4}
    spec = {"class_path": "fdkd_lightning.ResNet", "init_args": arguments}
    photo = tmp_path.with_suffix(".png")
    Image.new("RGB", (160, 140), (250, 90, 0)).save(photo)
    x = ImageRecipe(size=128).read(photo).expand(2, -1, -1, -1)
    birds = ("owl", "wren")
    export_student(network, tmp_path, x, modality="visual", network=spec, class_names=birds)
    snippets = [block.text for block in blocks("export") if block.language == "python"]
    assert len(snippets) == 4
    for snippet in snippets:
        found: dict[str, Any] = {"folder": tmp_path, "photo": photo, "x": x}
        exec(snippet, found)
        logits = torch.as_tensor(found["logits"])
        expected = network(x[: len(logits)]).logits
        torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)
    assert capsys.readouterr().out == f"{birds[expected.argmax()]}\n"
    files = {path.name for path in tmp_path.iterdir()}
    named = re.findall(r"`([\w.]+\.(?:safetensors|json|pt2|onnx|md))`", PAGES["export"])
    assert files == set(named) - {"run.json", "results.json"}


def specs(value: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Class path and arguments of everything that a configuration builds."""
    if isinstance(value, list):
        for entry in value:
            yield from specs(entry)
    if isinstance(value, dict):
        if "class_path" in value:
            yield value["class_path"], value.get("init_args", {})
        if "_target_" in value:
            yield value["_target_"], {k: v for k, v in value.items() if k != "_target_"}
        for entry in value.values():
            yield from specs(entry)


@pytest.mark.parametrize("block", of_language("yaml"), ids=lambda b: b.page)
def test_yaml_names_classes_and_arguments_that_exist(block: Block) -> None:
    config = yaml.safe_load(block.text)
    assert isinstance(config, dict)
    for path, arguments in specs(config):
        module, _, name = path.rpartition(".")
        found = getattr(importlib.import_module(module), name)
        assert arguments.keys() <= inspect.signature(found).parameters.keys(), path


class _ParsedError(BaseException):
    pass


def _stop(cli: FDKDCLI) -> None:
    raise _ParsedError(cli.config.fit if cli.subcommand == "fit" else None)


@pytest.mark.parametrize("command", [c for c in FDKD if "configs/" in c and "study" not in c])
def test_commands_with_shipped_configurations_are_parsed(
    command: str, clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FDKDCLI, "before_instantiate_classes", _stop)
    with pytest.raises(_ParsedError):
        main(shlex.split(command)[1:])


@pytest.mark.parametrize(
    "path",
    sorted({p for page in PAGES.values() for p in re.findall(r"configs/[\w/]+\.yaml", page)}),
)
def test_configurations_are_there(path: str) -> None:
    assert (ROOT / path).exists()


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    folder = ROOT if page == "README" else GUIDES
    for path in re.findall(r"\]\(([\w./-]+)\)", PAGES[page]):
        assert (folder / path).exists(), path


def test_each_guide_is_in_the_index_and_in_the_readme() -> None:
    pages = PAGES.keys() - {"README", "index"}
    entries = set(re.findall(r"^(\w+)$", PAGES["index"], re.M))
    assert pages == entries
    assert pages <= set(re.findall(r"examples/guides/(\w+)\.md", README))


def test_ci_runs_the_test_command_of_the_readme() -> None:
    command = "python -m pip install nox && python -m nox -s tests"
    assert command in README
    assert command in (ROOT / ".ci/run").read_text().splitlines()


def test_the_file_map_names_what_is_there() -> None:
    source = ROOT / "src/fdkd_lightning"
    (tree,) = (b.text for b in blocks("code") if b.language == "text")
    for name in {path.stem for path in source.iterdir() if path.suffix in ("", ".py")}:
        assert name.startswith("__") or re.search(rf"\b{name}\b", tree), name
    for path in re.findall(r"\b(\w+\.py)\b", tree):
        assert list(source.rglob(path)), path


def write_birds(root: Path, header: list[str]) -> None:
    """A miniature of the README's folder: sounds and photos of two classes."""
    (root / "sounds").mkdir(parents=True)
    (root / "photos").mkdir()
    rows = [",".join(header)]
    for i in range(12):
        split = ("train", "train", "val", "test")[i % 4]
        label = "" if i == 5 else ("owl", "wren")[i % 3 % 2]
        with wave.open(str(root / f"sounds/{i:03}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(16_000)
            file.writeframes(bytes(3 * 32_000))
        Image.new("RGB", (140, 130), (20 * i, 0, 0)).save(root / f"photos/{i:03}.jpg")
        rows.append(f"{i:03},{split},{label},sounds/{i:03}.wav,photos/{i:03}.jpg")
    (root / "birds.csv").write_text("\n".join(rows) + "\n")


def own_data(page: str) -> list[tuple[str, str]]:
    """Language and text of the blocks of a page's section on one's own data."""
    text = PAGES[page].split("## Your own data")[1].split("\n## ")[0]
    return re.findall(r"^```(\w+)\n(.*?)^```", text, re.M | re.S)


def test_the_study_of_your_own_data_can_be_planned(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = [*own_data("README"), *own_data("study")]
    bodies = [body for language, body in both if language == "yaml"]
    monkeypatch.setattr(sys, "argv", ["fdkd"])
    monkeypatch.setattr(FDKDCLI, "before_instantiate_classes", _stop)
    for name, body in zip(("teacher", "student", "birds"), bodies, strict=True):
        Path(f"{name}.yaml").write_text(body)
    study = read_study("birds.yaml")
    assert len({run.name for run in teacher_runs(study).values()}) == 3
    assert len({run.name for run in method_runs(study)}) == 3 * len(study.methods)
    checkpoint = Path("runs/of/the/study.ckpt")
    named = {}
    for run in [*teacher_runs(study).values(), *method_runs(study)]:
        if run.seed == 0:
            with pytest.raises(_ParsedError) as error:
                StudyCLI(["fit", *run.command()], {m: checkpoint for m, _ in run.teachers})
            arguments = error.value.args[0].model.init_args
            named[run.method] = [
                teacher.init_args.checkpoint for teacher in arguments.get("teachers", {}).values()
            ]
    own = [str(checkpoint)]
    assert named == {
        "teacher": [],
        "w/o KD": [],
        "FD-CMKD": own,
        "no teacher": [],
        "shuffled pairs": own,
    }


@pytest.mark.slow
def test_your_own_data_in_five_minutes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = own_data("README")
    (table,) = (body for language, body in found if language == "csv")
    write_birds(tmp_path / "birds", table.splitlines()[0].split(","))
    # Small networks instead of some minutes.
    small = "num_classes: 2, layers: [1, 1, 1, 1], channels: [4, 4, 8, 8]"
    teacher, student = (
        body.replace("num_classes: 2", small) for language, body in found if language == "yaml"
    )
    Path("teacher.yaml").write_text(teacher)
    Path("student.yaml").write_text(student)
    (shell,) = (body for language, body in found if language == "sh")
    for words in commands(shell):
        short = ["--trainer.max_epochs=1"] if words[1] == "fit" else []
        formats = ["--formats=safetensors"] if words[1] == "export" else []
        main([*words[1:], *short, *formats])
    assert (tmp_path / "runs/birds/student/export/model.safetensors").exists()
    # And of files that came later.
    section = PAGES["own_data"].partition("## Predict new files")[2].partition("\n## ")[0]
    (table,), (shell,) = (
        re.findall(rf"^```{language}\n(.*?)^```", section, re.M | re.S)
        for language in ("csv", "sh")
    )
    Path("birds/new.csv").write_text(table)
    Path("birds/new").mkdir()
    for i in (1, 2):
        Image.new("RGB", (40, 30), (i, 90, 0)).save(f"birds/new/{i}.jpg")
    (words,) = commands(shell)
    main(words[1:])
    with Path("new_predictions.csv").open(newline="") as file:
        assert [row["id"] for row in csv.DictReader(file)] == ["n1", "n2"]
