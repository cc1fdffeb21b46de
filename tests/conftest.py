"""Set before anything is imported: threads for Numba, and how many examples Hypothesis draws."""

import importlib.util
import os
import re
import signal

os.environ.setdefault("NUMBA_NUM_THREADS", "4")  # read once, when Numba is imported

from hypothesis import Phase, settings

OPTIONAL = "torch|oracle|pytorchcv|onnx|h5py|ai_edge_litert|huggingface_hub"
NEEDS_OPTIONAL = re.compile(rf"^(from|import) ({OPTIONAL})\b", re.MULTILINE)


def pytest_configure(config):
    """Draw 50 examples, or 1000 where CI is set, but for the quick tests: they stay quick there."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a process started in the background ignores Ctrl-C
    many = os.environ.get("CI") and not is_quick(config)
    examples = int(os.environ.get("NPNETS_EXAMPLES") or (1000 if many else 50))
    # Deterministic, and without a time limit on one example: the first call of a kernel compiles it.
    settings.register_profile("npnets", deadline=None, database=None, derandomize=True, max_examples=examples)
    # For runs that are meant to fail: the first example that fails will do, the smallest is not searched for.
    settings.register_profile("unshrunk", settings.get_profile("npnets"), phases=[Phase.explicit, Phase.generate])
    settings.load_profile(config.getoption("--hypothesis-profile") or "npnets")


def is_quick(config):
    """Return whether only the quick tests are asked for."""
    return config.option.markexpr == "quick"


def pytest_ignore_collect(collection_path, config):
    """Leave out what imports PyTorch, ONNX and the like where PyTorch is absent and only the quick tests are asked for.

    These files hold no quick test. Any other run without PyTorch fails, as it should.
    """
    quick = is_quick(config) and importlib.util.find_spec("torch") is None
    if quick and collection_path.suffix == ".py" and NEEDS_OPTIONAL.search(collection_path.read_text("utf-8")):
        return True
    return None
