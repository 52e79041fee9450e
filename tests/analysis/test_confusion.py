import torch

from fdkd_lightning.analysis.confusion import confused_pairs, confusion_matrix


def test_the_matrix_counts_true_by_predicted() -> None:
    label, predicted = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 0, 1, 2])
    matrix = confusion_matrix(predicted, label, 3)
    assert matrix.tolist() == [[2, 0, 0], [0, 1, 1], [0, 0, 0]]
    assert confused_pairs(["cat", "dog", "fish"], matrix) == [
        ("cat", "cat", 2),
        ("dog", "dog", 1),
        ("dog", "fish", 1),
    ]
