from torch.utils.data import Dataset

from fdkd_lightning.data.base import MultimodalDataModule
from fdkd_lightning.data.skipping import Skipping
from fdkd_lightning.types import Batch


class Clips(Dataset[Batch]):
    def __init__(self) -> None:
        self.skipped: frozenset[str] = frozenset()


class Data(MultimodalDataModule):
    available_modalities = ("audio", "visual")

    def make_dataset(self, split: str) -> Clips:
        return Clips()


def test_a_data_set_of_ones_own_is_told_what_to_leave_out_and_what_to_read_again() -> None:
    data = Data()
    data.setup("fit")
    data.skip_modalities(["audio"])
    found = [*data.datasets.values()]
    assert all(isinstance(dataset, Skipping) for dataset in found)
    assert [dataset.skipped for dataset in found if isinstance(dataset, Clips)] == [
        frozenset({"audio"})
    ] * 2
    data.teardown("fit")
    assert not [dataset for dataset in found if isinstance(dataset, Clips) and dataset.skipped]
