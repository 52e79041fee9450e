import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fdkd_lightning.data.preparation import job, manifest_file, prepare as prepare_module
from fdkd_lightning.data.preparation.coverage import CoverageError, CoverageReport
from fdkd_lightning.data.preparation.manifest_file import manifest_name, read_manifest
from fdkd_lightning.data.preparation.prepare import prepare
from fdkd_lightning.data.preparation.recipe import (
    AudioRecipe,
    FramesRecipe,
    ImageRecipe,
    MediaRecipe,
    Part,
    Recipe,
    TextRecipe,
)
from fdkd_lightning.data.preparation.sample import Sample

Write = Callable[..., Path]
RECIPES: dict[str, Recipe] = {
    "audio": AudioRecipe(8000),
    "visual": ImageRecipe(),
    "text": TextRecipe(),
}


@pytest.fixture
def samples(tmp_path: Path, write_wav: Write, write_picture: Write) -> list[Sample]:
    """Twelve whole samples, below ``root``."""
    made = []
    for i in range(12):
        write_wav(tmp_path / "root" / f"{i}.wav", 0.1 + 0.01 * i, 8000)
        write_picture(tmp_path / "root" / "pictures" / f"{i}.jpg", color=(20 * i, 0, 0))
        sources = {"audio": f"{i}.wav", "visual": f"pictures/{i}.jpg", "text": f"the, {i}"}
        split = ("train", "val", "test")[i // 4]
        made.append(Sample(f"id{i}", split, "ab"[i % 2], sources, where=f"t.csv, line {i + 2}"))
    return made


def run(
    folder: Path,
    samples: list[Sample],
    recipes: dict[str, Recipe] = RECIPES,
    workers: int = 0,
    min_coverage: float = 0.0,
    dry_run: bool = False,
) -> CoverageReport:
    root, prepared = folder / "root", folder / "prepared"
    return prepare(samples, root, prepared, recipes, workers, min_coverage, dry_run, progress=False)


def contents(folder: Path) -> dict[str, bytes]:
    """All that was prepared, by its path."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ".lock")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def contents_of(report: CoverageReport) -> tuple[bytes, int]:
    return report.manifest.read_bytes(), len(report.faults)


def statuses(report: CoverageReport) -> list[str]:
    return [row.status for row in read_manifest(report.manifest, RECIPES)]


def test_the_manifest_names_a_compact_form_of_each_modality(
    tmp_path: Path, samples: list[Sample]
) -> None:
    report = run(tmp_path, samples)
    lines = report.manifest.read_text().splitlines()
    assert lines[0].replace('"', "") == "id,split,label,audio,visual,text,status,reason"
    assert len(lines) == 13
    rows = read_manifest(report.manifest, RECIPES)
    assert [row.id for row in rows] == [sample.id for sample in samples]
    first = rows[0]
    assert first[:3] == ("id0", "train", "a")
    assert first[4:] == ("ok", "")
    assert first.sources["text"] == "the, 0"
    sound = np.load(tmp_path / "prepared" / first.sources["audio"])
    assert (sound.dtype, len(sound)) == (np.dtype(np.int16), 800)
    assert first.sources["visual"].endswith(".jpg")
    assert report.decoded == 24
    assert str(report) == "\n".join(
        f"{split}: 4 of 4 samples (100.0%)" for split in ("train", "val", "test")
    )


def test_what_is_done_is_not_done_again(
    tmp_path: Path, samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path, samples)
    before = contents(tmp_path / "prepared")

    def refuse(*arguments: object) -> bytes:
        raise AssertionError("decoded again")

    monkeypatch.setattr(AudioRecipe, "encode", refuse)
    monkeypatch.setattr(ImageRecipe, "encode", refuse)
    assert run(tmp_path, samples).decoded == 0
    # Nor are the sources needed.
    (tmp_path / "root").rename(tmp_path / "elsewhere")
    assert run(tmp_path, samples).decoded == 0
    assert contents(tmp_path / "prepared") == before


def test_a_finished_folder_may_be_read_only(
    tmp_path: Path, samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path, samples)

    def refuse(*arguments: object) -> None:
        raise PermissionError

    # Permissions would not stop a test that runs as root.
    for module, name in (
        (job, "whole_file"),
        (manifest_file, "whole_file"),
        (manifest_file, "require_folder"),
        (prepare_module, "require_folder"),
        (prepare_module, "FileLock"),
    ):
        monkeypatch.setattr(module, name, refuse)
    assert run(tmp_path, samples).decoded == 0


def test_only_the_recipes_modalities_are_decoded(tmp_path: Path, samples: list[Sample]) -> None:
    report = run(tmp_path, samples, {"visual": ImageRecipe()})
    assert report.decoded == 12
    assert not list((tmp_path / "prepared").glob("audio*"))
    assert run(tmp_path, samples).decoded == 12


def test_another_recipe_mixes_with_nothing(tmp_path: Path, samples: list[Sample]) -> None:
    old = run(tmp_path, samples)
    before = contents(tmp_path / "prepared")
    recipes = RECIPES | {"audio": AudioRecipe(4000)}
    new = run(tmp_path, samples, recipes)
    assert new.decoded == 12
    assert new.manifest != old.manifest
    assert before.items() <= contents(tmp_path / "prepared").items()
    for report, length in ((old, 800), (new, 400)):
        source = read_manifest(report.manifest, recipes)[0].sources["audio"]
        assert len(np.load(tmp_path / "prepared" / source)) == length
    # The length that is loaded is not that of the compact form.
    views = RECIPES | {"audio": AudioRecipe(4000, seconds=9)}
    assert run(tmp_path, samples, views).manifest == new.manifest


def test_another_table_shares_the_files_and_has_a_manifest_of_its_own(
    tmp_path: Path, samples: list[Sample]
) -> None:
    report = run(tmp_path, samples[:-1])
    assert run(tmp_path, samples).decoded == 2
    assert report.manifest.exists()
    changes: list[dict[str, object]] = [
        {"id": "x"},
        {"split": "test"},
        {"label": "c"},
        {"sources": {"audio": "0.wav"}},
        {"start": 0.05},
        {"duration": 0.05},
    ]
    names = {manifest_name([samples[0]._replace(**change)], RECIPES) for change in changes}
    assert len(names) == len(changes)
    assert manifest_name(samples[:1], RECIPES) not in names
    assert manifest_name([samples[0]._replace(where="elsewhere")], RECIPES) not in names


def test_one_source_of_two_samples_is_decoded_once(tmp_path: Path, samples: list[Sample]) -> None:
    twins = [samples[0], samples[0]._replace(id="twin"), samples[0]._replace(id="cut", start=0.02)]
    report = run(tmp_path, twins, {"audio": AudioRecipe(8000)})
    assert report.decoded == 2
    first, twin, cut = read_manifest(report.manifest, {"audio": AudioRecipe()})
    assert first.sources == twin.sources != cut.sources
    assert len(np.load(tmp_path / "prepared" / cut.sources["audio"])) == 640


def spoil(root: Path, samples: list[Sample]) -> list[Sample]:
    """Samples 0 to 6 get a fault each, 7 lacks a modality."""
    (root / "0.wav").unlink()
    (root / "1.wav").write_text("version https://git-lfs.github.com/spec/v1\n")
    (root / "2.wav").write_bytes(b"")
    content = (root / "3.wav").read_bytes()
    (root / "3.wav").write_bytes(content[: len(content) // 2])
    (root / "pictures" / "5.jpg").write_bytes(b"no picture")
    samples = list(samples)
    samples[4] = samples[4]._replace(start=5.0)
    samples[6] = samples[6]._replace(sources=samples[6].sources | {"audio": "pictures/6.jpg"})
    samples[7] = samples[7]._replace(sources={"audio": "7.wav", "text": "the, 7"})
    return samples


SPOILT = ["missing", "lfs-stub", "empty", "truncated", "zero-length", "undecodable", "undecodable"]


def test_faults_are_recorded_with_their_reason(tmp_path: Path, samples: list[Sample]) -> None:
    samples = spoil(tmp_path / "root", samples)
    report = run(tmp_path, samples)
    rows = read_manifest(report.manifest, RECIPES)
    assert [row.status for row in rows] == [*SPOILT, "absent", "ok", "ok", "ok", "ok"]
    assert rows[0].reason == "audio 0.wav: missing: there is no such file"
    assert set(rows[0].sources) == {"visual", "text"}
    assert set(rows[5].sources) == {"audio", "text"}
    assert rows[7].reason == "visual: absent"
    assert [report.found(split) for split in ("train", "val", "test")] == [0, 1, 4]
    text = str(report).splitlines()
    assert text[0] == ("train: 0 of 4 samples (0.0%); empty 1, lfs-stub 1, missing 1, truncated 1")
    assert text[3] == "  t.csv, line 2: 'id0': audio 0.wav: missing: there is no such file"
    assert text[-2] == f"  ... and 2 more: see {report.manifest}"
    assert text[-1] == "  t.csv, line 9: 'id7' is left out: without visual"


def test_several_faults_of_a_sample_are_all_reported(tmp_path: Path, samples: list[Sample]) -> None:
    (tmp_path / "root" / "0.wav").unlink()
    (tmp_path / "root" / "pictures" / "0.jpg").write_bytes(b"")
    row = read_manifest(run(tmp_path, samples).manifest, RECIPES)[0]
    assert row.status == "missing"
    assert row.reason.split("; ")[1] == "visual pictures/0.jpg: empty: the file has no bytes"


def test_a_file_that_failed_is_tried_again_only_when_it_changed(
    tmp_path: Path, samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, tried = tmp_path / "root", []
    samples = spoil(root, samples)
    before = contents_of(run(tmp_path, samples))
    real = AudioRecipe.encode

    def observed(self: AudioRecipe, path: Path, *segment: float | None) -> bytes:
        tried.append(path.name)
        return real(self, path, *segment)

    monkeypatch.setattr(AudioRecipe, "encode", observed)
    report = run(tmp_path, samples)
    assert (tried, contents_of(report)) == ([], before)
    os.utime(root / "3.wav", ns=(1, 1))
    report = run(tmp_path, samples)
    assert (tried, contents_of(report)) == (["3.wav"], before)
    # Without the sources it is still known why.
    for path in root.glob("*.wav"):
        path.unlink()
    assert contents_of(run(tmp_path, samples)) == before
    assert tried == ["3.wav"]


def test_a_mended_file_is_found_by_the_next_run(
    tmp_path: Path, samples: list[Sample], write_wav: Write
) -> None:
    (tmp_path / "root" / "0.wav").unlink()
    assert statuses(run(tmp_path, samples))[0] == "missing"
    (tmp_path / "root" / "0.wav").write_text("no sound")
    assert statuses(run(tmp_path, samples))[0] == "undecodable"
    write_wav(tmp_path / "root" / "0.wav", 0.1, 8000)
    report = run(tmp_path, samples)
    assert (report.decoded, statuses(report)[0]) == (1, "ok")
    assert not list((tmp_path / "prepared").rglob("*.failed"))


def test_too_little_coverage_is_an_error_once_all_is_done(
    tmp_path: Path, samples: list[Sample]
) -> None:
    (tmp_path / "root" / "9.wav").unlink()
    with pytest.raises(CoverageError, match=r"split 'test' has 3 of 4 .*min_coverage=0.8") as error:
        run(tmp_path, samples, min_coverage=0.8)
    assert "'id9': audio 9.wav: missing" in str(error.value)
    manifest = tmp_path / "prepared" / manifest_name(samples, RECIPES)
    assert len(read_manifest(manifest, RECIPES)) == 12
    assert run(tmp_path, samples, min_coverage=0.75).decoded == 0


def test_what_the_lists_make_unusable_is_refused_and_not_looked_at(
    tmp_path: Path, samples: list[Sample]
) -> None:
    samples[1] = samples[1]._replace(fault="it has no length", sources={"audio": "not/there.wav"})
    report = run(tmp_path, samples)
    row = read_manifest(report.manifest, RECIPES)[1]
    assert (row.status, row.reason, row.sources) == ("refused", "it has no length", {})
    assert report.found("train") == 3
    assert report.faults == ["t.csv, line 3: 'id1': it has no length"]


def test_a_recipe_is_told_which_member_of_a_file_is_meant(
    tmp_path: Path, samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def encode(self: AudioRecipe, path: Path, part: Part) -> bytes:
        asked.append((path.name, part))
        return b""

    monkeypatch.setattr(AudioRecipe, "encode", encode)
    made = [
        Sample(str(i), "train", "a", {"audio": "0.wav"}, members={"audio": f"sounds/{i}"})
        for i in range(2)
    ]
    report = run(tmp_path, made, {"audio": AudioRecipe()})
    assert asked == [("0.wav", Part(member=f"sounds/{i}")) for i in range(2)]
    assert report.decoded == 2


def test_a_modality_that_the_table_leaves_out_is_no_fault(
    tmp_path: Path, samples: list[Sample]
) -> None:
    samples = [sample._replace(sources={"audio": sample.sources["audio"]}) for sample in samples]
    report = run(tmp_path, samples, min_coverage=1.0)
    assert report.faults == []


def test_a_dry_run_writes_nothing(tmp_path: Path, samples: list[Sample]) -> None:
    samples = spoil(tmp_path / "root", samples)
    report = run(tmp_path, samples, min_coverage=1.0, dry_run=True)
    assert not (tmp_path / "prepared").exists()
    # What only decoding tells is still to come.
    assert report.statuses["train"] == dict.fromkeys(SPOILT[:4], 1)
    assert report.decoded == 23 - 4
    run(tmp_path, samples)
    before = contents(tmp_path / "prepared")
    assert run(tmp_path, samples, dry_run=True).decoded == 0
    assert contents(tmp_path / "prepared") == before


def test_a_link_that_leaves_the_root_is_refused(tmp_path: Path, samples: list[Sample]) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "3.wav").write_bytes((tmp_path / "root" / "3.wav").read_bytes())
    (tmp_path / "root" / "3.wav").unlink()
    (tmp_path / "root" / "3.wav").symlink_to(outside / "3.wav")
    with pytest.raises(ValueError, match=r"t.csv, line 5: audio '3.wav' is a link to .*outside"):
        run(tmp_path, samples)
    (tmp_path / "root" / "folder").symlink_to(outside)
    linked = [samples[0]._replace(sources={"audio": "folder/3.wav"})]
    for dry_run in (True, False):
        with pytest.raises(ValueError, match=r"audio 'folder/3.wav' is a link to .*outside"):
            run(tmp_path, linked, dry_run=dry_run)
    assert not (tmp_path / "prepared").exists()


def test_a_link_within_the_root_and_a_root_that_is_one_are_followed(
    tmp_path: Path, samples: list[Sample]
) -> None:
    root = tmp_path / "root"
    (root / "0.wav").rename(root / "real.wav")
    (root / "0.wav").symlink_to("real.wav")
    root.rename(tmp_path / "disk")
    root.symlink_to("disk")
    assert set(statuses(run(tmp_path, samples))) == {"ok"}


def die(at: int, what: type, name: str) -> None:
    """From now on the process is killed at the given call."""
    real, calls = getattr(what, name), []

    def dies(*arguments: object) -> object:
        calls.append(None)
        if len(calls) == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments)

    setattr(what, name, dies)


def killed(folder: Path, samples: list[Sample], at: int, where: str) -> None:
    if where == "decoding":
        die(at, AudioRecipe, "encode")
    elif where == "writing":
        real, calls = job.whole_file, []

        def half_written(path: Path) -> object:
            calls.append(None)
            if len(calls) == at:
                path.with_name(f".{path.name}.0.partial").write_bytes(b"half")
                os.kill(os.getpid(), signal.SIGKILL)
            return real(path)

        job.whole_file = half_written  # type: ignore[assignment]
    else:
        die(at, os, "replace")  # type: ignore[arg-type]
    run(folder, samples)


@pytest.mark.parametrize("where", ["decoding", "writing", "naming"])
def test_a_killed_run_goes_on_to_the_same_end(
    tmp_path: Path, samples: list[Sample], where: str
) -> None:
    samples = spoil(tmp_path / "root", samples)
    run(tmp_path, samples)
    prepared, whole = tmp_path / "prepared", contents(tmp_path / "prepared")
    prepared.rename(tmp_path / "whole")
    for at in (1, 3, 4, 4):
        process = multiprocessing.get_context("fork").Process(
            target=killed, args=(tmp_path, samples, at, where)
        )
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        found = contents(prepared)
        assert {
            name: content for name, content in found.items() if not name.endswith(".partial")
        }.items() <= whole.items()
        assert not list(prepared.glob("manifest*"))
    assert sum(name.endswith((".npy", ".jpg")) for name in found) > 2
    run(tmp_path, samples)
    assert contents(prepared) == whole


def test_an_error_of_any_class_costs_only_its_file(
    tmp_path: Path, samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = ImageRecipe.encode

    def broken(self: ImageRecipe, path: Path, part: Part) -> bytes:
        if path.name == "2.jpg":
            raise ZeroDivisionError("no pixels")
        return real(self, path, part)

    monkeypatch.setattr(ImageRecipe, "encode", broken)
    rows = read_manifest(run(tmp_path, samples).manifest, RECIPES)
    assert [row.status for row in rows] == ["ok", "ok", "undecodable"] + 9 * ["ok"]
    reason = "visual pictures/2.jpg: undecodable: ZeroDivisionError: no pixels"
    assert rows[2].reason == reason
    # It may have been the recipe's fault: without a note the file is decoded again.
    monkeypatch.undo()
    assert set(statuses(run(tmp_path, samples))) == {"ok"}


def test_a_missing_package_stops_the_run(
    tmp_path: Path, samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object) -> bytes:
        raise ImportError("decoding needs the package av")

    monkeypatch.setattr(AudioRecipe, "encode", broken)
    with pytest.raises(ImportError, match="needs the package av"):
        run(tmp_path, samples)


def test_an_overwritten_source_is_decoded_anew(
    tmp_path: Path, samples: list[Sample], write_wav: Write
) -> None:
    source = tmp_path / "root" / "0.wav"

    def first() -> np.ndarray:  # type: ignore[type-arg]
        rows = read_manifest(run(tmp_path, samples).manifest, RECIPES)
        return np.load(tmp_path / "prepared" / rows[0].sources["audio"])

    old = first()
    content = bytearray(source.read_bytes())
    content[44:] = content[44:][::-1]  # another sound, of the same length
    source.write_bytes(content)
    before = len(contents(tmp_path / "prepared"))
    report = run(tmp_path, samples, dry_run=True)
    assert report.decoded == 1
    assert not np.array_equal(first(), old)
    assert len(contents(tmp_path / "prepared")) == before
    # The same content under another date is the same sound.
    new = first()
    os.utime(source, ns=(1, 1))
    np.testing.assert_array_equal(first(), new)
    # A file that can no longer be decoded does not stay what it was.
    source.write_bytes(b"no sound")
    assert statuses(run(tmp_path, samples))[0] == "undecodable"
    source.unlink()
    assert statuses(run(tmp_path, samples))[0] == "undecodable"


def test_versions_are_compared_by_content_where_asked(
    tmp_path: Path, samples: list[Sample]
) -> None:
    source = tmp_path / "root" / "0.wav"

    def again() -> int:
        folders = tmp_path / "root", tmp_path / "prepared"
        return prepare(samples, *folders, RECIPES, 0, 0, progress=False, compare="content").decoded

    assert again() == 24
    os.utime(source, ns=(1, 1))
    assert again() == 0
    status = source.stat()
    content = bytearray(source.read_bytes())
    content[50] ^= 1
    source.write_bytes(content)
    os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert again() == 1
    with pytest.raises(ValueError, match="compare='name' is unknown: choose 'time' or 'content'"):
        prepare(samples, tmp_path, tmp_path, RECIPES, compare="name")  # type: ignore[arg-type]


def test_a_damaged_note_is_no_note(tmp_path: Path, samples: list[Sample]) -> None:
    samples = spoil(tmp_path / "root", samples)
    expected = contents_of(run(tmp_path, samples))
    notes = sorted((tmp_path / "prepared").rglob("*.failed"))
    for note, content in zip(notes, (b"", b"{", b"[1]", b'{"status": 1}', b"\xff"), strict=False):
        note.write_bytes(content)
    assert contents_of(run(tmp_path, samples)) == expected


def test_names_that_cannot_be_opened_cost_only_themselves(
    tmp_path: Path, samples: list[Sample]
) -> None:
    root = tmp_path / "root"
    (root / "loop.wav").symlink_to("loop.wav")
    (root / "ring").symlink_to("ring")
    os.mkfifo(root / "pipe.wav")
    (root / "folder.wav").mkdir()
    names = ["loop.wav", "ring/a.wav", "pipe.wav", "folder.wav", 300 * "a" + ".wav", "0.wav/a.wav"]
    odd = [
        Sample(f"odd{i}", "train", "a", {"audio": name}, where=f"t.csv, line {i}")
        for i, name in enumerate(names)
    ]
    recipes: dict[str, Recipe] = {"audio": AudioRecipe(8000)}
    for dry_run in (True, False):
        report = run(tmp_path, [*odd, samples[0]], recipes, dry_run=dry_run)
        # A folder may hold frames: that a sound cannot be read from one is seen when it is decoded.
        folder = {"empty": 1, "unreadable": 4} if dry_run else {"unreadable": 5}
        assert report.statuses["train"] == {**folder, "missing": 1, "ok": 1}
    rows = read_manifest(report.manifest, recipes)
    assert "pipe.wav: unreadable: it is not a regular file" in rows[2].reason
    assert "File name too long" in rows[4].reason
    for row, name in zip(rows, names, strict=False):
        assert f"audio {name}: " in row.reason


def test_video_is_prepared_from_one_file_for_both_modalities(
    tmp_path: Path, write_clip: Write
) -> None:
    write_clip(tmp_path / "root" / "a.flv")
    samples = [Sample("a", "train", "", {"audio": "a.flv", "visual": "a.flv"})]
    recipes: dict[str, Recipe] = {"audio": AudioRecipe(), "visual": FramesRecipe(size=16)}
    report = run(tmp_path, samples, recipes)
    (row,) = read_manifest(report.manifest, recipes)
    for name, shape in (("audio", (48_000,)), ("visual", (1, 3, 16, 16))):
        recipe = recipes[name]
        assert isinstance(recipe, MediaRecipe)
        assert recipe.load(tmp_path / "prepared" / row.sources[name], None).shape == shape


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"min_coverage": 2}, "min_coverage=2 must be from 0 to 1"), ({"workers": -1}, "workers=-1")],
)
def test_wrong_arguments_are_named(
    tmp_path: Path, samples: list[Sample], arguments: dict[str, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        run(tmp_path, samples, **arguments)  # type: ignore[arg-type]
