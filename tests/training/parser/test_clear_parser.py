import pytest

from fdkd_lightning.training.parser.clear_parser import ClearParser
from fdkd_lightning.training.parser.run_parser import RunParser


@pytest.mark.parametrize("kind", [ClearParser, RunParser])
def test_abbreviations_are_refused_by_the_whole_name(
    capsys: pytest.CaptureFixture[str], kind: type[ClearParser]
) -> None:
    parser = kind()
    parser.add_argument("--overwrite", type=bool)
    assert parser.parse_args(["--overwrite=true"]).overwrite
    with pytest.raises(SystemExit):
        parser.parse_args(["--over=true"])
    assert "there is no key 'over': did you mean overwrite?" in capsys.readouterr().err
