"""Files that are damaged, or made to do harm: each is refused with one clear line, at once, and for little memory."""

import json
import subprocess
import sys
from pathlib import Path

import torch  # noqa: F401

SCRIPT = Path(__file__).with_name("bad_files.py")
SECONDS, BYTES = 1.0, 256 << 20


def test_bad_files_are_refused_at_once(tmp_path):
    """In a process of its own, by the processor's time: what else the machine does is not counted."""
    done = subprocess.run([sys.executable, SCRIPT, tmp_path], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("[["), "something was unpickled on the way"
    results = json.loads(done.stdout)
    assert len(results) > 40
    for name, message, error, seconds, grown in results:
        assert error.startswith((f"{tmp_path / name} cannot be read as weights: ", f"{tmp_path / name}: ")), name
        assert message in error, name
        assert "\n" not in error, name
        assert len(error) < 500, name
        assert seconds < SECONDS, name
        assert grown < BYTES, name
