"""A folder for caches where the home is missing or read-only, and a home and a name for a user without them.

Imported at the start of every program of .venv, by a .pth file that tools/setup.sh writes; so it needs no package.
Snakemake makes its cache before it reads a Snakefile, and where it cannot, it ends in a traceback: nothing in the
workflow can prevent that.
"""

import os
import pwd


def set_cache_home() -> None:
    """Set XDG_CACHE_HOME to build/cache of the project, unless it is set or ~/.cache can be written.

    Matplotlib keeps its own in ~/.config and is told by its own variable. A user whom the system does not know (a
    container run with a number as user) gets the same folder as home and the number as name: without these Snakemake
    and DVC end.
    """
    project = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    instead = os.path.join(project, "build", "cache")
    homeless = not os.path.isabs(os.path.expanduser("~"))
    if homeless:
        os.environ["HOME"] = instead
    if not (_known() or any(os.environ.get(name) for name in ("LOGNAME", "USER", "LNAME", "USERNAME"))):
        os.environ["LOGNAME"] = str(os.getuid())
    if os.environ.get("XDG_CACHE_HOME") or (not homeless and _writable(os.path.expanduser("~/.cache"))):
        return
    os.environ["XDG_CACHE_HOME"] = instead
    os.environ.setdefault("MPLCONFIGDIR", os.path.join(instead, "matplotlib"))


def _known() -> bool:
    try:
        return bool(pwd.getpwuid(os.getuid()))
    except KeyError:
        return False


def _writable(folder: str) -> bool:
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


set_cache_home()
