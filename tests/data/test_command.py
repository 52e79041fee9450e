import gc
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from fdkd_lightning.cli import main
from fdkd_lightning.data.command import prepare_set

Write = Callable[..., Path]
RECIPES = {
    "audio": {"class_path": "fdkd_lightning.AudioRecipe", "init_args": {"rate": 8000}},
    "visual": {"class_path": "fdkd_lightning.ImageRecipe"},
}


@pytest.fixture
def root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_wav: Write, write_picture: Write
) -> Path:
    """Six pairs in the current folder's ``mine``, one without its sound."""
    monkeypatch.chdir(tmp_path)
    lines = ["id,split,label,audio,visual"]
    for i in range(6):
        if i != 5:
            write_wav(tmp_path / "mine" / f"{i}.wav", 0.1, 8000)
        write_picture(tmp_path / "mine" / f"{i}.jpg")
        lines.append(f"{i},{('train', 'val', 'test')[i // 2]},a,{i}.wav,{i}.jpg")
    (tmp_path / "mine" / "table.csv").write_text("\n".join(lines))
    init_args = {"root": "mine", "table": "table.csv", "recipes": RECIPES, "prepare_workers": 1}
    run = {"data": {"class_path": "fdkd_lightning.PairedManifest", "init_args": init_args}}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump({"trainer": {"max_epochs": 1}, **run}))
    return tmp_path / "mine"


def test_a_run_s_data_are_prepared(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["prepare", "run.yaml", "--min_coverage=0.5", "--dry-run"])
    printed = capsys.readouterr().out
    assert "test: 1 of 2 samples (50.0%); missing 1" in printed
    assert printed.endswith("11 files to decode\n")
    assert "prepared" not in printed
    assert not (root / "prepared").exists()
    main(["prepare", "run.yaml", "--min_coverage=0.5", "--modalities=[audio]"])
    assert "5 files decoded; manifest: mine/prepared/manifest-audio-" in capsys.readouterr().out
    main(["prepare", "run.yaml", "--min_coverage=0.5"])
    assert "6 files decoded" in capsys.readouterr().out


def test_a_listing_is_whole_and_the_error_names_missing_files(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for i in range(5):
        (root / f"{i}.wav").unlink()
    with pytest.raises(SystemExit):
        main(["prepare", "run.yaml", "--dry-run"])
    printed, error = capsys.readouterr()
    assert printed.count(".wav: missing: ") == 5
    assert "... and 1 more" in printed
    assert "more lines" not in printed + error
    assert "'0': audio 0.wav: missing: there is no such file; '1': audio 1.wav: missing" in error


def test_files_are_compared_by_content(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["prepare", "run.yaml", "--min_coverage=0.5", "--modalities=[audio]"]
    by_content = [*command, "--compare=content"]
    main(by_content)
    os.utime(root / "0.wav", ns=(1, 1))
    capsys.readouterr()
    main(by_content)
    assert "0 files decoded" in capsys.readouterr().out
    main([*command, "--dry-run"])
    assert "5 files to decode" in capsys.readouterr().out
    (root / "0.wav").write_bytes((root / "0.wav").read_bytes()[:-1] + b"\1")
    os.utime(root / "0.wav", ns=(1, 1))
    main(by_content)
    assert "1 files decoded" in capsys.readouterr().out
    assert gc.isenabled()


def test_a_set_is_prepared_by_its_name(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = ["--root=mine", "--table=table.csv", f"--recipes={RECIPES}", "--prepare_workers=1"]
    prepare_set(["PairedManifest", *settings, "--min_coverage=0.5"])
    assert "11 files decoded" in capsys.readouterr().out
    assert list(root.glob("prepared/manifest-audio-visual-*.csv"))
    bare = "data: {class_path: fdkd_lightning.PairedManifest, init_args: null}"
    (root.parent / "bare.yaml").write_text(bare)
    prepare_set(["bare.yaml", *settings, "--min_coverage=0.5"])
    assert "0 files decoded" in capsys.readouterr().out


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["run.yaml"], "split 'test' has 1 of 2 samples, less than min_coverage=0.9"),
        (["run.yaml", "--dry-run"], "split 'test' has 1 of 2 samples, less than min_coverage=0.9"),
        (["cremad"], "Did you mean CREMAD? The sets are "),
        (["vgg-sound50k"], "Did you mean VGGSound50"),
        (
            ["PairedManifest", "--root=other", "--table=t.csv", f"--recipes={RECIPES}"],
            "other/t.csv",
        ),
        (
            ["PairedManifest", "--root=.", "--table=table.csv", f"--recipes={RECIPES}"],
            "set root to",
        ),
        (["latin.yaml"], "latin.yaml, line 2: byte 0xfc is not UTF-8"),
        (["torn.yaml"], "torn.yaml is not YAML: "),
        (
            ["Nothing"],
            "'Nothing' is neither a class of fdkd_lightning.data nor an importable class",
        ),
        (["not_there.Set"], "'not_there.Set' is neither"),
        (["AVDigits"], "AVDigits needs no preparation"),
        (["mine/table.yaml"], "No such file or directory: 'mine/table.yaml'"),
        (["empty.yaml"], "empty.yaml has no data.class_path"),
    ],
)
def test_an_error_is_one_line(args: list[str], message: str) -> None:
    Path("empty.yaml").write_text("trainer: {max_epochs: 1}")
    Path("latin.yaml").write_bytes("data: 1\n# fünf".encode("latin-1"))
    Path("torn.yaml").write_text("data: {class_path: ")
    with pytest.raises(SystemExit, match="fdkd prepare: ") as error:
        prepare_set(args)
    assert message in str(error.value)
    assert "--dry-run" not in args or "manifest" not in str(error.value)


def test_help_names_sets_and_their_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    for args, word in (
        ([], "usage: fdkd prepare SET"),
        (["PairedManifest", "--help"], "--min_coverage"),
    ):
        with pytest.raises(SystemExit):
            prepare_set(args)
        assert word in capsys.readouterr().out


def test_the_files_of_a_large_set_need_no_torch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"clip{i},{i},owl,{'test' if i > 8 else 'train'}" for i in range(10)]
    (tmp_path / "vggsound.csv").write_text("\n".join(rows))
    code = (
        "import sys; from fdkd_lightning.cli import main; main(); "
        "assert not {'torch', 'lightning', 'pandas'} & {*sys.modules}"
    )
    args = ["prepare", "VGGSound", f"--root={tmp_path}", "--dry-run", "--min_coverage=0.0"]
    command = [sys.executable, "-c", code, *args]
    alone = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "train: 0 of 8 samples (0.0%); missing 8" in alone
    # An argument of the loaders is checked by the data module.
    main([*args, "--batch_size=4"])
    assert capsys.readouterr().out == alone
    for wrong, message in (("--batch_size=0", "batch_size=0"), ("--rot=4", "no key 'rot'")):
        with pytest.raises(SystemExit):
            main([*args, wrong])
        assert message in capsys.readouterr().err
