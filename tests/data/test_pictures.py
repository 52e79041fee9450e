from typing import Any

import numpy as np
import pytest
import torch
from jsonargparse import ArgumentParser
from PIL import Image
from torch import Tensor, nn

from fdkd_lightning.data.pictures import IMAGENET_MEAN, IMAGENET_STD, PictureTransform

PLAIN: dict[str, Any] = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


def noise(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, shape, generator=generator, dtype=torch.uint8)


def places(height: int, width: int) -> Tensor:
    """A picture that says where each of its points lies: x, y and 1, edges at 0 and 1."""
    y = (torch.arange(height) + 0.5) / height
    x = (torch.arange(width) + 0.5) / width
    return torch.stack(
        [x.expand(height, width), y[:, None].expand(height, width), torch.ones(height, width)]
    )


def boxes(pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Width and height of the crops of :func:`places`, and whether they are mirrored."""
    size = pictures.shape[-1]
    inner = pictures[..., size // 4 : 3 * size // 4, size // 4 : 3 * size // 4]
    # Inside, where no edge disturbs it, a crop is a ramp.
    steps = inner.shape[-1] - 1
    across = (inner[..., 0, 0, -1] - inner[..., 0, 0, 0]) * size / steps
    down = (inner[..., 1, -1, 0] - inner[..., 1, 0, 0]) * size / steps
    return across.abs(), down, across < 0


def test_shapes() -> None:
    for training in (True, False):
        transform = PictureTransform(32).train(training)
        assert transform(noise(4, 3, 50, 60)).shape == (4, 3, 32, 32)
        assert transform(noise(4, 2, 3, 50, 60)).shape == (4, 2, 3, 32, 32)
        assert transform([noise(3, 50, 60), noise(3, 20, 70)]).shape == (2, 3, 32, 32)
        assert transform([noise(2, 3, 50, 60), noise(2, 3, 9, 8)]).shape == (2, 2, 3, 32, 32)
    assert PictureTransform()(noise(1, 3, 50, 60)).shape == (1, 3, 224, 224)


@pytest.mark.parametrize("size", [(360, 480), (100, 90), (224, 224)])
def test_evaluation_is_pillow_s_resize_and_imagenet_s_normalisation(size: tuple[int, int]) -> None:
    pictures = noise(2, 3, *size)
    ours = PictureTransform().eval()(pictures)
    for picture, actual in zip(pictures, ours, strict=True):
        image = Image.fromarray(picture.permute(1, 2, 0).numpy())
        resized = np.asarray(image.resize((224, 224), Image.Resampling.BILINEAR)) / 255
        expected = (resized - np.array(IMAGENET_MEAN)) / np.array(IMAGENET_STD)
        # One level of 255, which rounding may differ by.
        np.testing.assert_allclose(
            actual.permute(1, 2, 0).numpy(), expected, atol=1.01 / 255 / min(IMAGENET_STD)
        )


def test_evaluation_draws_nothing_and_treats_frames_as_pictures() -> None:
    transform = PictureTransform(32).eval()
    frames = noise(2, 3, 3, 50, 60)
    state = torch.get_rng_state()
    torch.testing.assert_close(transform(frames)[:, 1], transform(frames[:, 1]))
    torch.testing.assert_close(transform([*frames]), transform(frames))
    assert torch.equal(torch.get_rng_state(), state)


def test_bytes_and_floats_are_the_same_pictures() -> None:
    pictures = noise(2, 3, 50, 60)
    for training in (True, False):
        transform = PictureTransform(32, **PLAIN).train(training)
        torch.manual_seed(0)
        of_bytes = transform(pictures)
        torch.manual_seed(0)
        of_floats = transform(pictures.float() / 255)
        torch.testing.assert_close(of_bytes, of_floats, atol=1.01 / 255, rtol=0)
        assert of_bytes.dtype == of_floats.dtype == torch.float32


def test_each_picture_has_a_crop_of_its_own() -> None:
    torch.manual_seed(0)
    crops = PictureTransform(32)(places(60, 80).expand(16, 3, 60, 80))
    assert len(crops.unique(dim=0)) == 16


def test_a_clip_s_frames_are_cropped_one_by_one_as_published_or_alike() -> None:
    torch.manual_seed(0)
    clips = places(60, 80).expand(16, 3, 3, 60, 80)
    apart = PictureTransform(32)(clips)
    assert len(apart.flatten(0, 1).unique(dim=0)) == 48
    alike = PictureTransform(32, per_frame=False)(clips)
    assert torch.equal(alike, alike[:, :1].expand_as(alike))
    assert len(alike[:, 0].unique(dim=0)) == 16
    listed = PictureTransform(32, per_frame=False)([*clips])
    assert torch.equal(listed, listed[:, :1].expand_as(listed))


@pytest.mark.parametrize("frames", [False, True])
def test_crops_have_the_areas_and_shapes_of_torchvision_and_half_are_mirrored(frames: bool) -> None:
    torch.manual_seed(0)
    height, width = 200, 240
    picture = places(height, width)
    batch = (
        picture.expand(100, 4, 3, height, width)
        if frames
        else picture.expand(400, 3, height, width)
    )
    crops = PictureTransform(64, **PLAIN)(batch)
    across, down, mirrored = (x.flatten() for x in boxes(crops))
    area, shape = across * down, across * width / (down * height)
    assert 0.07 < area.min() < 0.12
    assert 0.9 < area.max() <= 1.01
    # Of shares drawn evenly from 0.08 to 1, less those that do not fit.
    assert 0.4 < area.mean() < 0.6
    assert shape.min() > 0.75 * 0.95
    assert shape.max() < 4 / 3 * 1.05
    assert 150 < mirrored.sum() < 250
    # Half of the mirrored are to be where crops are large, half where they are small.
    large = area > area.median()
    assert 60 < mirrored[large].sum() < 140


def test_scale_bounds_the_crops() -> None:
    torch.manual_seed(0)
    crops = PictureTransform(64, scale=(0.5, 0.6), **PLAIN)(
        places(200, 200).expand(50, 3, 200, 200)
    )
    across, down, _ = boxes(crops)
    assert 0.48 < (across * down).min() < (across * down).max() < 0.62


def test_training_follows_the_seed() -> None:
    pictures = noise(4, 3, 50, 60)
    torch.manual_seed(3)
    first = PictureTransform(32)(pictures)
    torch.manual_seed(3)
    assert torch.equal(PictureTransform(32)(pictures), first)


def test_given_mean_and_deviation_replace_imagenet_s() -> None:
    pictures = torch.full((1, 3, 8, 8), 0.5)
    y = PictureTransform(4, mean=(0.5, 0.25, 0.0), std=(1.0, 0.5, 0.25)).eval()(pictures)
    assert y[0, :, 0, 0].tolist() == pytest.approx([0.0, 0.5, 2.0])
    assert PictureTransform().state_dict() == {}


@pytest.mark.parametrize(
    ("pictures", "message"),
    [
        (noise(3, 50, 60), r"shape \[50, 60\]: give \[3, H, W\]"),
        (noise(2, 4, 50, 60), r"shape \[4, 50, 60\]: give"),
        ([noise(3, 5, 6), noise(1, 1, 3, 5, 6)], r"shape \[1, 1, 3, 5, 6\]: give"),
        (noise(2, 3, 5, 6).int(), r"pictures are torch\.int32: give torch\.uint8"),
    ],
)
def test_other_pictures_are_refused(pictures: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PictureTransform(4)(pictures)


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="size=0 must be at least 1"):
        PictureTransform(0)
    for scale in ((0.0, 1.0), (0.6, 0.5), (0.5, 2.0)):
        with pytest.raises(ValueError, match=r"scale=\(.*\) must be two shares"):
            PictureTransform(scale=scale)


def test_yaml_names_it_by_its_class_path() -> None:
    parser = ArgumentParser()
    parser.add_argument("--transform", type=nn.Module)
    text = (
        "transform: {class_path: fdkd_lightning.data.PictureTransform, "
        "init_args: {size: 64, scale: [0.5, 1.0], per_frame: false}}"
    )
    transform = parser.instantiate(parser.parse_string(text)).transform
    assert isinstance(transform, PictureTransform)
    assert transform(noise(1, 3, 9, 9)).shape == (1, 3, 64, 64)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("training", [True, False])
def test_a_gpu_gives_the_same(training: bool) -> None:
    transform = PictureTransform(32, **PLAIN).train(training)
    frames = noise(4, 2, 3, 50, 60)
    torch.manual_seed(0)
    expected = transform(frames)
    torch.manual_seed(0)
    actual = transform.cuda()(frames.cuda())
    assert actual.is_cuda
    torch.testing.assert_close(actual.cpu(), expected, atol=1.01 / 255, rtol=0)
