"""Sets a cache folder if ~/.cache is not writable, and HOME and LOGNAME if the user has no home folder or user name.

Every Python program of .venv imports this module at start-up through a .pth file that tools/setup.sh writes. The module
therefore depends on no package. The workflow cannot set the folder, because Snakemake creates its cache before it reads
a Snakefile, and fails with a traceback if it cannot create the cache.
"""

import os
import pwd


def set_cache_home() -> None:
    """Set XDG_CACHE_HOME to build/cache of the project, unless the variable is set or ~/.cache is writable.

    MPLCONFIGDIR is set too, because Matplotlib uses ~/.config. For a user unknown to the system, such as a numeric user
    of a container, HOME is set to build/cache, and LOGNAME is set to the user id. Without these variables, Snakemake
    and DVC fail.
    """
    project = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    fallback = os.path.join(project, "build", "cache")
    has_no_home = not os.path.isabs(os.path.expanduser("~"))
    if has_no_home:
        os.environ["HOME"] = fallback
    if not (_is_known_user() or any(os.environ.get(name) for name in ("LOGNAME", "USER", "LNAME", "USERNAME"))):
        os.environ["LOGNAME"] = str(os.getuid())
    if os.environ.get("XDG_CACHE_HOME") or (not has_no_home and _writable(os.path.expanduser("~/.cache"))):
        return
    os.environ["XDG_CACHE_HOME"] = fallback
    os.environ.setdefault("MPLCONFIGDIR", os.path.join(fallback, "matplotlib"))


def _is_known_user() -> bool:
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
