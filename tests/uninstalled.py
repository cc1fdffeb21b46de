"""Packages that are made to seem not installed."""

import sys


def uninstall(monkeypatch, *packages):
    """Let every import of these packages fail as if they were not there."""

    class Uninstalled:
        @staticmethod
        def find_spec(name, path=None, target=None):
            if name.partition(".")[0] in packages:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    for name in [name for name in sys.modules if name.partition(".")[0] in packages]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Uninstalled, *sys.meta_path])
