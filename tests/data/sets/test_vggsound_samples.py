from pathlib import Path

import pytest

from fdkd_lightning.data import sets
from fdkd_lightning.data.sets import vggsound
from fdkd_lightning.data.sets.vggsound_samples import C2KD_LISTS, VGGSoundFiles


@pytest.mark.parametrize("name", ["VGGSound", "VGGSoundC2KD", "VGGSound50"])
def test_the_files_alone_are_those_of_the_data_module(tmp_path: Path, name: str) -> None:
    rows = [f'--a{i},{i},"owl, hooting",{"test" if i > 6 else "train"}' for i in range(10)]
    (tmp_path / "vggsound.csv").write_text("\n".join([*rows, rows[0]]))
    for split, file in C2KD_LISTS.items():
        (tmp_path / file).write_text("\n".join(row for row in rows if row.endswith(split)))
    (tmp_path / "video").mkdir()
    (tmp_path / "video/--a1_000001.mp4").write_bytes(b"clip")
    files, data = (getattr(room, name + end) for room, end in ((sets, "Files"), (vggsound, "")))
    alone = files(tmp_path).samples
    assert alone == data(tmp_path).samples
    assert {sample.split for sample in alone} == {"train", "val", "test"}
    assert (
        alone[1].where
        == f"{tmp_path / ('train_tiny' if 'C2KD' in name else 'vggsound')}.csv, line 2"
    )
    dry = files(tmp_path).prepare(dry_run=True)
    assert dry == data(tmp_path).prepare(dry_run=True)
    assert dry.decoded == 2


def test_the_current_folder_may_be_the_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = "a,1,owl,train\nb,1,owl,train\nc,1,owl,test\n"
    (tmp_path / "vggsound.csv").write_text(rows)
    monkeypatch.chdir(tmp_path)
    assert VGGSoundFiles(".").samples[0].where == "vggsound.csv, line 1"
