"""A folder for caches where the home is missing or read-only; imported at the start of every program of .venv.

Snakemake makes its cache before it reads a Snakefile and ends in a traceback where it cannot: nothing in the workflow
can prevent that. tools/setup.sh has this module imported by a .pth file, so it needs nothing but `os`.
"""

import os


def set_cache_home() -> None:
    """Set XDG_CACHE_HOME to build/cache of the project, unless it is set or ~/.cache can be written.

    Matplotlib keeps its own in ~/.config and is told by its own variable.
    """
    if os.environ.get("XDG_CACHE_HOME"):
        return
    cache = os.path.expanduser("~/.cache")
    try:
        os.makedirs(cache, exist_ok=True)
    except OSError:
        pass
    else:
        if os.path.isabs(cache) and os.access(cache, os.W_OK):
            return
    project = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    os.environ["XDG_CACHE_HOME"] = os.path.join(project, "build", "cache")
    os.environ.setdefault("MPLCONFIGDIR", os.path.join(project, "build", "cache", "matplotlib"))


set_cache_home()
