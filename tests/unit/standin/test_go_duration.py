import pytest

from ops.standin.go_duration import go_duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0s"),
        (-1.0, "0s"),
        (0.0121, "13ms"),
        (0.644, "644ms"),
        (2.007, "2.007s"),
        (0.9999, "1s"),
        (1.2, "1.2s"),
        (18.642, "18.642s"),
        (60.0, "1m0s"),
        (86.4, "1m26.4s"),
        (360.0, "6m0s"),
        (3600.0, "1h0m0s"),
        (86_399.5, "23h59m59.5s"),
    ],
)
def test_a_duration_is_written_as_go_writes_it(seconds: float, text: str):
    assert go_duration(seconds) == text
