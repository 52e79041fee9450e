from collections.abc import Callable
from pathlib import Path

from fdkd_lightning.data.preparation.recipe import AudioRecipe
from fdkd_lightning.data.preparation.sample import Sample
from fdkd_lightning.data.preparation.source_files import SourceFiles
from fdkd_lightning.data.preparation.survey import Survey, recipe_folder


def test_jobs_are_made_one_by_one_and_once(tmp_path: Path, write_wav: Callable[..., Path]) -> None:
    root, folder = tmp_path / "root", tmp_path / "prepared"
    write_wav(root / "a.wav", 0.1, 8_000)
    samples = [
        Sample("1", "train", "", {"audio": "a.wav"}),
        Sample("2", "train", "", {"audio": "a.wav"}),
        Sample("3", "train", "", {"audio": "a.wav"}, start=0.05),
        Sample("4", "train", "", {"audio": "b.wav"}),
        Sample("5", "train", "", {}),
    ]
    media = {"audio": AudioRecipe(8_000)}

    def survey() -> Survey:
        return Survey(samples, folder, media, SourceFiles(root))

    first = survey()
    assert [job.part.start for job in first.jobs] == [None, 0.05]
    assert [*first.failures] == ["missing: there is no such file"]
    forms = first.forms["audio"]
    assert forms[0] == forms[1] != forms[2]
    assert forms[4] == ""
    assert forms[0].startswith(recipe_folder(media["audio"]))
    for job in first.jobs[:1]:
        job.target.parent.mkdir(parents=True)
        job.target.touch()
    assert len(survey().jobs) == 1
    # Another version of the file is another name; the earlier one is to be removed.
    write_wav(root / "a.wav", 0.2, 8_000)
    job = survey().jobs[0]
    assert job.target != folder / forms[0]
    assert job.superseded == (folder / forms[0],)
