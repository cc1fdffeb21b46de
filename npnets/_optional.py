"""The one door for optional dependencies: npnets needs NumPy and Numba; the rest is asked for where it is used."""

import importlib
from types import ModuleType


def need(module: str, extra: str, purpose: str) -> ModuleType:
    """Import an optional dependency, or say what is missing, what it is for and how to install it.

    Parameters
    ----------
    module
        The name that `import` takes, such as "sklearn.datasets".
    extra
        The extra of npnets that installs it, such as "demos".
    purpose
        Who needs it, as the subject of a sentence: "the digits data set".

    Returns
    -------
    module

    Raises
    ------
    ModuleNotFoundError
        It is not installed. A package that is installed and fails to import shows its own error.

    Examples
    --------
    >>> need("json", "demos", "nothing at all").dumps([1])
    '[1]'
    >>> need("nosuch.part", "demos", "the picture")
    Traceback (most recent call last):
    ModuleNotFoundError: the picture needs `nosuch`: pip install "npnets[demos]" (in a clone: pip install ".[demos]")
    """
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != package:  # it is there, and lacks something of its own
            raise
        raise ModuleNotFoundError(
            f'{purpose} needs `{package}`: pip install "npnets[{extra}]" (in a clone: pip install ".[{extra}]")',
            name=package,
        ) from None
