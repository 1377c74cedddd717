import csv
import math

from bench.report.read.history import read_history


def test_missing_values_and_values_that_are_not_numbers_become_nan(tmp_path):
    path = tmp_path / "history.csv"
    path.write_bytes(b"step,loss,\n0,1.5,x\n1,\n2,b\xffd\n3,2,5,6\n\0")
    found = read_history(path)
    assert list(found) == ["step", "loss"] and found["step"] == [0, 1, 2, 3]
    assert [value for value in found["loss"] if math.isfinite(value)] == [1.5, 2] and len(found["loss"]) == 4


def test_a_missing_or_empty_file_gives_an_empty_history(tmp_path):
    assert read_history(tmp_path / "history.csv") == {}
    (tmp_path / "history.csv").write_text("")
    assert read_history(tmp_path / "history.csv") == {}


def test_equal_columns_and_invalid_csv_do_not_stop_the_report(tmp_path):
    path = tmp_path / "history.csv"
    path.write_text("\ufeffstep,loss,loss\n1,2,3\n2,3,4\n3," + "9" * 2000 + "\n4,5,6\n")
    limit = csv.field_size_limit(1000)
    try:
        assert read_history(path) == {"step": [1.0, 2.0], "loss": [3.0, 4.0]}
    finally:
        csv.field_size_limit(limit)
