import torch

from fdkd_lightning.ops.segmentation_image import WRONG, class_palette, overlay, panels, visible


def test_the_palette_is_that_of_pascal_voc() -> None:
    # Aeroplane, bicycle, bird, boat, bottle; then tv/monitor, its twentieth class.
    colors = class_palette(20).tolist()
    assert colors[:5] == [[128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128], [128, 0, 128]]
    assert colors[19] == [0, 64, 128]
    assert len({tuple(color) for color in class_palette(255).tolist()}) == 255


def test_an_input_is_shown_in_its_own_range() -> None:
    image = torch.tensor([[[2.0, 4.0], [3.0, torch.nan]]])
    shown = visible(image, (2, 2))
    assert shown.dtype == torch.uint8
    assert shown[0].tolist() == [[0, 255], [127, 0]]
    assert torch.equal(shown[0], shown[2])
    assert visible(image, (4, 6))[0, :, 0].tolist() == [0, 0, 127, 127]
    # Of five channels the first three; of a constant image nothing.
    assert visible(torch.arange(5.0)[:, None, None], (1, 1)).flatten().tolist() == [0, 127, 255]
    assert not visible(torch.ones(3, 2, 2), (2, 2)).any()
    assert not visible(torch.full((1, 2, 2), torch.nan), (2, 2)).any()


def test_void_pixels_show_the_image() -> None:
    image = torch.full((3, 1, 3), 100, dtype=torch.uint8)
    shown = overlay(image, torch.tensor([[0, 1, -100]]), class_palette(2), alpha=0.25)
    assert shown[:, 0].T.tolist() == [[107, 75, 75], [75, 107, 75], [100, 100, 100]]


def test_wrong_pixels_are_red_and_void_ones_are_not() -> None:
    target = torch.tensor([[0, 1, -100]])
    predicted = torch.tensor([[0, 0, 1]])
    shown = panels(torch.zeros(1, 2, 6), target, predicted, class_palette(2))
    assert shown.shape == (3, 1, 12)
    black = [0, 0, 0]
    assert shown[:, 0, 9:].T.tolist() == [black, list(WRONG), black]
    red, green = [76, 0, 0], [0, 76, 0]
    assert shown[:, 0, 3:9].T.tolist() == [red, green, black, red, red, green]
