from fdkd_lightning.benchmark.cases.loader import CACHED, DECODED, PREPARED, measure_loader
from fdkd_lightning.benchmark.measure import Limits


def test_decoding_and_caching_are_compared_with_prepared_files() -> None:
    rows = measure_loader(2, Limits(2))
    found = {row.variant: row.compared_with for row in rows}
    assert found == {DECODED: PREPARED, PREPARED: "", CACHED: PREPARED}
