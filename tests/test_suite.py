"""What the suite itself relies on."""

import pytest


@pytest.mark.xdist_group("together")
def test_tests_of_a_group_are_sent_to_one_worker(request: pytest.FixtureRequest) -> None:
    """pytest-xdist writes a group at the end of a test's name, and reads it there."""
    if not request.config.getoption("loadgroup", False):
        pytest.skip("needs --dist loadgroup")
    assert request.node.nodeid.endswith("@together")
