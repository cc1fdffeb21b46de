"""The fuzz of the readers, in small: the same files each time."""

import subprocess
import sys

import fuzz_readers
import numpy as np
import pytest

pytestmark = pytest.mark.quick


@pytest.mark.parametrize("reader", fuzz_readers.READERS)
def test_changed_files_give_a_result_or_a_value_error(reader, tmp_path):
    rng = np.random.default_rng(0)
    files = fuzz_readers.seeds(reader)
    for content in files:
        (tmp_path / "whole").write_bytes(content)
        fuzz_readers.READERS[reader](tmp_path / "whole")
    for _ in range(200):
        fuzz_readers.read(reader, fuzz_readers.changed(files[rng.integers(0, len(files))], rng), tmp_path)


def test_it_finds_what_goes_wrong(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(fuzz_readers.READERS, "idx", lambda path: [][len(path.read_bytes())])
    with pytest.raises(IndexError):
        fuzz_readers.at_random("idx", 5)
    assert (tmp_path / "crash-idx").exists()


def test_usage():
    done = subprocess.run(
        [sys.executable, fuzz_readers.__file__, "gif"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "there is no reader gif; there are idx, cifar10, cifar10-archive, npz, weights" in done.stderr
