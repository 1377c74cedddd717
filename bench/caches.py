"""Sets a cache folder if the home folder is missing or read-only, and a home and name for users without them.

Every program of .venv imports it at start through a .pth file written by tools/setup.sh, so it depends on no package.
The workflow cannot do this, because Snakemake creates its cache before it reads a Snakefile, and ends in a traceback
if it cannot.
"""

import os
import pwd


def set_cache_home() -> None:
    """Set XDG_CACHE_HOME to build/cache of the project, unless it is set or ~/.cache is writable.

    Matplotlib uses ~/.config and a separate variable. A user unknown to the system (a container with a numeric user)
    gets the same folder as home and the number as name, because Snakemake and DVC fail without them.
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
