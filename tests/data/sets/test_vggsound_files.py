from pathlib import Path

import pytest

from fdkd_lightning.data.sets.vggsound_files import UNSTRIPPED, clip_of, find_files

VIDEO = "-_abc_12_00"
CLIP = (VIDEO, 30)


@pytest.mark.parametrize(
    ("name", "clip"),
    [
        (f"{VIDEO}_000030.mp4", CLIP),
        (f"{VIDEO}_30.wav", CLIP),
        (f"{VIDEO}_000030", CLIP),
        (f"v{VIDEO}_30_40_out.mkv", CLIP),
        (f"v{VIDEO}_30000_40000_out.mkv", CLIP),
        ("v00000_11_30_000040.mp4", ("v00000_11_30", 40)),
        (f"v{VIDEO}_30001_40001_out.mkv", None),
        ("README.md", None),
        ("_000030.mp4", None),
    ],
)
def test_names_of_clips(name: str, clip: tuple[str, int] | None) -> None:
    assert clip_of(name) == clip


@pytest.mark.parametrize(
    ("video", "sound", "expected"),
    [
        (f"video/{VIDEO}_000030.mp4", None, f"video/{VIDEO}_000030.mp4"),
        (f"{UNSTRIPPED}/video/{VIDEO}_000030.mp4", None, f"{UNSTRIPPED}/video/{VIDEO}_000030.mp4"),
        (f"video/v{VIDEO}_30000_40000_out.mkv", None, f"video/v{VIDEO}_30000_40000_out.mkv"),
        (
            f"train-videos/train-set-img/Image-01-FPS/{VIDEO}_000030.mp4/00000.jpg",
            f"train-audios/train-set/{VIDEO}_000030.wav",
            f"train-audios/train-set/{VIDEO}_000030.wav",
        ),
        (f"Image-01-FPS/{VIDEO}_000030/1.jpg", None, f"audio/{VIDEO}_000030.wav"),  # missing
        (f"visual/{VIDEO}_30/1.jpg", f"audio/{VIDEO}_30.flac", f"audio/{VIDEO}_30.flac"),
    ],
)
def test_each_layout_is_found(tmp_path: Path, video: str, sound: str | None, expected: str) -> None:
    for path in filter(None, (video, sound)):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    files = find_files(tmp_path)
    assert files.video(*CLIP) == video.removesuffix("/00000.jpg").removesuffix("/1.jpg")
    assert files.sound(*CLIP) == expected
    assert files.video("other", 7) == "video/other_000007.mp4"


def test_a_folder_of_sounds_is_preferred_and_videos_to_frames(tmp_path: Path) -> None:
    for path in ("video/a_000001.mp4", "visual/a_000001/1.jpg", "visual/b_000001/1.jpg"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    files = find_files(tmp_path)
    assert [files.video(name, 1) for name in "ab"] == ["video/a_000001.mp4", "visual/b_000001"]
    assert files.sound("a", 1) == "video/a_000001.mp4"
    (tmp_path / "audio").mkdir()
    assert find_files(tmp_path).sound("a", 1) == "audio/a_000001.wav"
