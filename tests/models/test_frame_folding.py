from typing import Any

import pytest
import torch

from fdkd_lightning.models.frame_folding import average_frames, fold_frames


def test_images_stay_as_they_are() -> None:
    x = torch.randn(2, 3, 4, 5)
    for frames in ("average", "stack"):
        folded, parts = fold_frames(x, frames, in_chans=3)
        assert folded is x
        assert parts == 1
        assert average_frames(folded, parts) is x


def test_frames_to_average_come_one_after_the_other_and_go_back_to_their_sample() -> None:
    x = torch.randn(2, 4, 3, 5, 6)
    folded, parts = fold_frames(x, "average", in_chans=3)
    assert parts == 4
    assert torch.equal(folded[5], x[1, 1])
    torch.testing.assert_close(average_frames(folded, parts), x.mean(1))


def test_stacked_frames_are_channels_frame_by_frame() -> None:
    x = torch.randn(2, 4, 3, 5, 6)
    folded, parts = fold_frames(x, "stack", in_chans=12)
    assert parts == 1
    assert torch.equal(folded[:, 3:6], x[:, 1])


@pytest.mark.parametrize(
    ("shape", "frames", "in_chans", "message"),
    [
        ((2, 3, 4), "average", 3, r"shape \[2, 3, 4\]: give \[N, C, H, W\]"),
        ((2, 3, 8, 8), "average", 1, "C=3 channels, but in_chans=1: set in_chans=3"),
        (
            (2, 4, 3, 8, 8),
            "average",
            12,
            "T=4 frames of C=3 .* in_chans=12: set in_chans=3, or in_chans=12 with frames='stack'",
        ),
        (
            (2, 4, 3, 8, 8),
            "stack",
            3,
            "T=4 frames of C=3 .* in_chans=3: set in_chans=12, or in_chans=3 with "
            "frames='average', or let the data load another number",
        ),
    ],
)
def test_channels_that_do_not_fit_are_named_with_what_would(
    shape: tuple[int, ...], frames: Any, in_chans: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        fold_frames(torch.zeros(shape), frames, in_chans)


@pytest.mark.parametrize("shape", [(2, 0, 4, 5), (2, 4, 0, 4, 5)])
def test_images_without_channels_are_named(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="without a channel: give 3"):
        fold_frames(torch.zeros(shape), "average", in_chans=3)
