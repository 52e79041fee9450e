from fdkd_lightning.benchmark.cases.case import Case


def test_a_case_may_have_no_group() -> None:
    assert Case("a", "Why?", ()).groups == ()
