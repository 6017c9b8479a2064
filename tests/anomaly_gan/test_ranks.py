"""The ranks of a process that trains alone."""

from anomaly_gan import ranks


def test_a_process_alone_is_rank_0_of_1() -> None:
    assert (ranks.rank(), ranks.world_size()) == (0, 1)


def test_a_process_alone_gathers_its_own_value() -> None:
    value = {"a": [1, 2]}
    [found] = ranks.gather(value)
    assert found is value
    assert ranks.gather(None) == [None]


def test_a_process_alone_says_for_all_what_it_says() -> None:
    assert ranks.anyone(True) is True
    assert ranks.anyone(False) is False
