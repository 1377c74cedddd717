import pytest

from bench.report.read.names import format_bytes, format_number


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (float("nan"), ""),
        (0.012345, "0.0123"),
        (-1.5, "−1.5"),
        (99.96, "100"),
        (999.6, "1,000"),
        (1664.2, "1,664"),
        (-123456, "−123,456"),
        (1.5e9, "1.5e+09"),
    ],
)
def test_numbers_have_an_exponent_only_if_they_are_extreme(value, text):
    assert format_number(value) == text


def test_large_storage_has_no_exponent():
    assert format_bytes(12345 * 2**30) == "12.06 TiB"
