from typing import Any

import pytest
import torch
from torch import Tensor

from fdkd_lightning.models.dense_evaluation import DenseEvaluation
from fdkd_lightning.types import Output


def pixelwise(x: Tensor) -> Output:
    """Each pixel's logits depend on this pixel alone."""
    logits = torch.cat([x, -x], 1)
    return Output(x, logits)


def with_row_means(x: Tensor) -> Output:
    """Logits that depend on the window: the mean of each of its rows."""
    logits = x.mean(3, keepdim=True).expand_as(x)
    return Output(x, logits)


@pytest.fixture
def image() -> Tensor:
    return torch.randn(2, 1, 7, 9, generator=torch.Generator().manual_seed(0))


def test_without_arguments_it_is_the_network(image: Tensor) -> None:
    found = DenseEvaluation()(pixelwise, image)
    assert torch.equal(found.logits, pixelwise(image).logits)
    assert torch.equal(found.features, image)


@pytest.mark.parametrize("window", [(3, 4), (7, 9), (20, 2), (1, 1)])
def test_windows_of_a_pixelwise_network_are_the_whole_image(
    image: Tensor, window: tuple[int, int]
) -> None:
    found = DenseEvaluation(window)(pixelwise, image)
    torch.testing.assert_close(found.logits, pixelwise(image).logits)


def test_windows_are_averaged_where_they_overlap() -> None:
    row = torch.tensor([[[[0.0, 2.0, 4.0, 6.0, 8.0]]]])
    # Windows [0, 2, 4] and [2, 4, 6] and [4, 6, 8], with means 2, 4 and 6.
    found = DenseEvaluation((1, 3), (1, 1))(with_row_means, row).logits
    torch.testing.assert_close(found.flatten(), torch.tensor([2.0, 3.0, 4.0, 5.0, 6.0]))
    # The last window ends with the row: [0, 2, 4] and [4, 6, 8].
    found = DenseEvaluation((1, 3), (1, 3))(with_row_means, row).logits
    torch.testing.assert_close(found.flatten(), torch.tensor([2.0, 2.0, 4.0, 6.0, 6.0]))


def test_the_probabilities_of_a_mirror_image_are_averaged() -> None:
    def left(x: Tensor) -> Output:
        """Sees the first class in the left half of what it is given."""
        logits = torch.zeros(len(x), 2, *x.shape[2:])
        logits[:, 0, :, : x.shape[3] // 2] = 3.0
        return Output(x, logits)

    found = DenseEvaluation(mirror=True)(left, torch.zeros(1, 1, 2, 4)).logits.exp()
    expected = (torch.tensor(3.0).sigmoid() + 0.5) / 2
    torch.testing.assert_close(found[:, 0], expected.expand(1, 2, 4))
    torch.testing.assert_close(found.sum(1), torch.ones(1, 2, 4))


def test_each_scale_is_seen_and_resized_back() -> None:
    sizes: list[list[int]] = []

    def seen(x: Tensor) -> Output:
        sizes.append(list(x.shape[2:]))
        return pixelwise(x)

    image = torch.full((1, 1, 5, 6), 2.0)
    found = DenseEvaluation(scales=(0.5, 1.0, 1.5))(seen, image).logits
    assert sizes == [[2, 3], [5, 6], [8, 9]]
    torch.testing.assert_close(found, torch.cat([image, -image], 1).log_softmax(1))


def test_small_logits_are_resized_to_the_window(image: Tensor) -> None:
    def coarse(x: Tensor) -> Output:
        return Output(x, x.mean((2, 3), keepdim=True))

    found = DenseEvaluation()(coarse, image).logits
    torch.testing.assert_close(found, image.mean((2, 3), keepdim=True).expand_as(image))


def test_nan_stays_nan(image: Tensor) -> None:
    image[0, 0, 3, 3] = torch.nan
    found = DenseEvaluation((3, 3), mirror=True)(pixelwise, image).logits
    assert found[0, :, 3, 3].isnan().all()
    assert found[1].isfinite().all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"window": (0, 4)}, "window"),
        ({"window": (4, 4), "stride": (5, 4)}, "stride"),
        ({"stride": (4, 4)}, r"stride=\(4, 4\) has no window"),
        ({"scales": ()}, "scales is empty"),
        ({"scales": (1.0, 0.0)}, "scales"),
        ({"scales": (float("nan"),)}, "scales"),
        ({"mirror": 1}, "mirror"),
    ],
)
def test_a_bad_argument_is_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        DenseEvaluation(**arguments)


def test_a_vector_is_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \[2, 3\], no images"):
        DenseEvaluation()(pixelwise, torch.zeros(2, 3))
