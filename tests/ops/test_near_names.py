from fdkd_lightning.ops.near_names import did_you_mean


def test_the_nearest_names_are_proposed_whatever_their_case() -> None:
    assert did_you_mean("MOMENTUM", ["momentum", "lr"]) == "did you mean momentum?"
    assert did_you_mean("ab.c", ["ab.d", "ab.e", "xyz"]) == "did you mean ab.e or ab.d?"
    assert did_you_mean("qqq", ["momentum", "lr"]) == ""
