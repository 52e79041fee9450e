"""The classes of NYU Depth V2: 894 annotated names, mapped to 40 and to 13 classes.

The tables are published facts. They were compared between copies that share no code: 894 to 40 in
``facebookresearch/SparseConvNet`` examples/nyu2/data/prepare_data.py and a reader of the AdapNet
family; 40 to 13 in the latter and ``howard-mahe/nyudv2_class_mapping`` utils/map40to13.m. Whether
they fit a copy of the data set is checked by the class names in that copy, if it has them.

Reference:
    40 classes: Gupta et al., "Perceptual Organization and Recognition of Indoor Scenes from RGB-D
    Images" (CVPR 2013), file classMapping40.mat. 13 classes: Couprie et al., "Indoor Semantic
    Segmentation using depth information" (arXiv:1301.3572), mapped from the 40 as in
    ``ankurhanda/SceneNetv1.0``, file class13Mapping.mat.
"""

from fdkd_lightning.types import IGNORE_INDEX

NYU_40 = (
    "wall",
    "floor",
    "cabinet",
    "bed",
    "chair",
    "sofa",
    "table",
    "door",
    "window",
    "bookshelf",
    "picture",
    "counter",
    "blinds",
    "desk",
    "shelves",
    "curtain",
    "dresser",
    "pillow",
    "mirror",
    "floor mat",
    "clothes",
    "ceiling",
    "books",
    "refridgerator",  # the authors' spelling
    "television",
    "paper",
    "towel",
    "shower curtain",
    "box",
    "whiteboard",
    "person",
    "night stand",
    "toilet",
    "sink",
    "lamp",
    "bathtub",
    "bag",
    "otherstructure",
    "otherfurniture",
    "otherprop",
)

NYU_13 = (
    "bed",
    "books",
    "ceiling",
    "chair",
    "floor",
    "furniture",
    "objects",
    "picture",
    "sofa",
    "table",
    "tv",
    "wall",
    "window",
)

# fmt: off
# Values, from 1, of the names equal to those of the first 37 classes, in the classes' order.
SAME_NAME = (
    21, 11, 3, 157, 5, 83, 19, 28, 59, 88, 64, 7, 80, 36, 42, 89, 169, 119, 122, 143, 141, 4, 85,
    17, 172, 15, 135, 123, 26, 45, 331, 158, 124, 24, 144, 136, 55,
)
OTHER_STRUCTURE = (
    8, 25, 33, 38, 51, 53, 57, 58, 62, 65, 79, 94, 104, 112, 134, 153, 215, 216, 223, 225, 238, 241,
    242, 256, 295, 301, 339, 342, 354, 363, 372, 380, 392, 408, 412, 453, 456, 463, 477, 497, 541,
    550, 553, 567, 573, 582, 591, 609, 612, 615, 642, 645, 657, 658, 659, 663, 667, 668, 686, 700,
    702, 777, 778, 782, 850, 861, 868, 874,
)
OTHER_FURNITURE = (
    12, 43, 48, 50, 87, 106, 111, 161, 163, 174, 183, 204, 214, 219, 221, 224, 236, 262, 278, 291,
    298, 313, 343, 344, 356, 359, 373, 393, 401, 414, 418, 419, 430, 443, 444, 447, 448, 457, 458,
    460, 462, 475, 479, 485, 486, 493, 494, 498, 499, 509, 510, 515, 521, 524, 540, 549, 551, 554,
    556, 558, 576, 580, 608, 625, 703, 734, 770, 772, 797, 800, 803, 804, 813, 814, 815, 820, 829,
    835, 858, 863, 882, 892,
)
# For each of the 40 classes, its class among the 13, from 1.
COARSE = (
    12, 5, 6, 1, 4, 9, 10, 12, 13, 6, 8, 6, 13, 10, 6, 13, 6, 7, 7, 5, 7, 3, 2, 6, 11, 7, 7, 7, 7,
    7, 7, 6, 7, 7, 7, 7, 7, 7, 6, 7,
)
# fmt: on


def classes_of_894() -> tuple[int, ...]:
    """Return the class, from 0, of each value in the official label maps: 0 (unlabelled) to 894.

    Example:
        >>> table = classes_of_894()
        >>> len(table), table[0], NYU_40[table[21]], NYU_40[table[1]]  # 1 is "book"
        (895, -100, 'wall', 'otherprop')
    """
    table = [IGNORE_INDEX] + 894 * [NYU_40.index("otherprop")]
    for number, value in enumerate(SAME_NAME):
        table[value] = number
    for name, values in (("otherstructure", OTHER_STRUCTURE), ("otherfurniture", OTHER_FURNITURE)):
        for value in values:
            table[value] = NYU_40.index(name)
    return tuple(table)


def coarse_class(number: int) -> int:
    """Map one of the 40 classes to its class among the 13; -100 (unlabelled) stays -100.

    Example:
        >>> NYU_13[coarse_class(NYU_40.index("door"))], coarse_class(-100)
        ('wall', -100)
    """
    return IGNORE_INDEX if number == IGNORE_INDEX else COARSE[number] - 1
