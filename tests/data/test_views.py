import pytest

from fdkd_lightning.data.preparation.sample import Sample
from fdkd_lightning.data.views import (
    RESERVED,
    add_views,
    check_names,
    check_views,
    select_modalities,
)


@pytest.mark.parametrize("name", [*RESERVED, "a b", "", "1"])
def test_a_reserved_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"recipes: '{name}' cannot be the name of a modality"):
        check_names(["audio", name])


def test_a_modality_is_needed() -> None:
    with pytest.raises(ValueError, match=r"recipes={}: name at least one modality"):
        check_names([])


def test_views_need_a_new_name_and_a_selected_modality() -> None:
    check_views({"more": "audio"}, ["audio"])
    for views, message in (
        ({"audio": "audio"}, "'audio' must be a new name"),
        ({"more": "depth"}, "'depth' one of the modalities"),
    ):
        with pytest.raises(ValueError, match=message):
            check_views(views, ["audio"])


def test_a_view_has_source_and_member_of_its_modality() -> None:
    sample = Sample("a", "train", "", {"audio": "a.mat"}, members={"audio": "sounds/1"})
    viewed = add_views(sample, {"more": "audio", "other": "visual"})
    assert viewed.sources == {"audio": "a.mat", "more": "a.mat"}
    assert viewed.members == {"audio": "sounds/1", "more": "sounds/1"}
    assert sample.sources == {"audio": "a.mat"}


@pytest.mark.parametrize("chosen", [[], ["depth"], "audio"])
def test_a_choice_of_modalities_is_a_list_of_known_ones(chosen: list[str]) -> None:
    with pytest.raises(ValueError, match=r"must be a list of one or more of \['audio'\]"):
        select_modalities(chosen, ["audio"])
