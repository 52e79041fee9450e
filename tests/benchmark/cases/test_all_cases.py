from fdkd_lightning.benchmark.cases.all_cases import CASES


def test_names_differ_and_each_case_has_a_question_and_a_group() -> None:
    assert len({case.name for case in CASES}) == len(CASES)
    assert all(case.question.endswith(".") and case.groups for case in CASES)
