import pytest

from fdkd_lightning.training.parser.parser_message import Problem, find_problem

UNION = """\
Parser key "model":
  Does not validate against any of the Union subtypes
  Subtypes: [<class 'LightningModule'>, <class 'NoneType'>]
  Errors:
    - Problem with given class_path 'fdkd_lightning.DistillationModule':
        Parser key "criterion":
          Problem with given class_path 'fdkd_lightning.FDKDLoss':
            Parser key "lambda_low":
              Does not validate against any of the Union subtypes
              Subtypes: [<class 'float'>, <class 'NoneType'>]
              Errors:
                - Expected a <class 'float'>
                - Expected a <class 'NoneType'>
              Given value type: <class 'str'>
              Given value: x
    - Expected a <class 'NoneType'>
  Given value type: <class 'dict'>
  Given value: {'class_path': 'fdkd_lightning.DistillationModule'}"""
CALLABLE = """\
Parser key "optimizer":
  Type typing.Callable[[Iterable], Optimizer] expects a function or a callable class: \
Option 'lrr' is not accepted. Got value: Namespace(class_path='torch.optim.SGD', init_args=1)"""
PATHS = """\
Parser key "criterion":

  - Expected a path but mine.Los either not accessible or invalid
  - Problem with given class_path 'mine.Los':
    No mine attribute Los"""


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        (
            UNION,
            Problem(
                ("model", "criterion", "lambda_low"),
                "fdkd_lightning.FDKDLoss",
                ("Expected a <class 'float'>",),
                "x",
            ),
        ),
        (
            CALLABLE,
            Problem(
                ("optimizer",),
                "torch.optim.SGD",
                ("Option 'lrr' is not accepted",),
                "Namespace(class_path='torch.optim.SGD', init_args=1)",
            ),
        ),
        (PATHS, Problem(("criterion",), "mine.Los", ("No mine attribute Los",), None)),
        ("lr=-1: give a positive", Problem((), None, ("lr=-1: give a positive",), None)),
        ("", Problem((), None, ("",), None)),
    ],
)
def test_the_innermost_reason_is_the_cause(message: str, problem: Problem) -> None:
    assert find_problem(message) == problem
