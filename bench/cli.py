"""The command line of slim-bench, whose commands plan, run and report single jobs for Snakemake and for users.

An input error prints one line on stderr and exits with code 2. A run that fails in training (NaN after three rollbacks,
out of memory) is recorded as failed in model.json and exits with code 0, so that Snakemake retries only preempted jobs.
"""

import argparse
import os
import shlex
import signal
import sys
from datetime import datetime
from typing import TextIO

from bench.commands import data, datasets, inference, planning, reporting, running, sharing
from bench.errors import InputError, RunFailedError, find_write_error, first_line, storage_error
from bench.runtime.environment import OFFLINE, is_enabled
from bench.terminal import escaped_output, one_line

LOGGED_COMMANDS = ("freeze", "fetch", "prepare", "train", "evaluate", "collect", "report")
"""Commands whose log begins with their command line, so that a job can be repeated manually."""
EPILOG = """\
run a single job:
  slim-bench freeze --scale demo --experiment fastgan-slim-4to64 --dataset fluent-emoji-100 --seed 0 --out my/run.json
  slim-bench train --run my/run.json
  slim-bench evaluate --run my/run.json
run the whole workflow:
  snakemake            run the demo          snakemake paper      run the paper's experiments
  snakemake -n TARGET  print a dry run       slim-bench status    print the state of each run
"""


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="slim-bench",
        description="SLIM (arXiv 2112.14804) and its baselines: plan, train, score and report.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for topic in (planning, data, datasets, running, reporting, sharing, inference):
        topic.add_commands(commands)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code. Control characters in the output are escaped."""
    with escaped_output():
        return _run(argv)


def _run(argv: list[str] | None) -> int:
    arguments = build_parser().parse_args(argv)
    try:
        if arguments.command in LOGGED_COMMANDS and not sys.stderr.isatty():
            line = one_line(shlex.join(["slim-bench", *(sys.argv[1:] if argv is None else argv)]))
            print(f"{datetime.now():%Y-%m-%d %H:%M:%S} {line}", file=sys.stderr, flush=True)
        is_enabled(OFFLINE)  # raises an error for an invalid value before any work
        arguments.function(arguments)
        sys.stdout.flush()  # raises an error if the output is on a full disk
    except InputError as error:
        return _print_error(error)
    except RunFailedError as error:  # for example NaN images from an export; `train` records its own failures
        print(f"slim-bench: failed: {one_line(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:  # `slim-bench plan | head`
        _drop_output(sys.stdout)
        return 128 + signal.SIGPIPE
    except OSError as error:
        named = error.filename2 or error.filename
        return _print_error(storage_error(error, _output_file() if named is None else None))
    except Exception as error:  # raised by torch or another library, perhaps because of a full disk
        if _is_out_of_memory(error):
            advice = "free memory, or request fewer or smaller images"
            print(f"slim-bench: error: out of memory ({one_line(first_line(error))}); {advice}", file=sys.stderr)
            return 2
        if _device_failed(error):
            advice = "run the same command again, on another GPU if this one fails again"
            print(f"slim-bench: error: the GPU failed ({one_line(first_line(error))}); {advice}", file=sys.stderr)
            return 2
        cause = find_write_error(error)
        if cause is None:
            raise
        return _print_error(storage_error(cause))
    return 0


def _print_error(error: InputError) -> int:
    try:
        print(f"slim-bench: error: {one_line(error)}", file=sys.stderr, flush=True)
    except OSError:  # the log is also on the full disk
        _drop_output(sys.stderr)
    return 2


def _output_file() -> str | None:
    """Return the path of stdout or stderr if one of them cannot be written. Returns None if both can be written."""
    for stream in (sys.stdout, sys.stderr):
        path = os.path.realpath(f"/proc/self/fd/{stream.fileno()}")
        try:
            stream.flush()
            full = os.path.isfile(path) and not os.statvfs(path).f_bavail
        except OSError:
            full = True
        if full:
            _drop_output(stream)
            return path
    return None


def _drop_output(stream: TextIO) -> None:
    """Redirect a stream to /dev/null, so that the exit of the process does not flush the stream's buffer again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError):
        return True
    if not isinstance(error, RuntimeError) or "torch" not in sys.modules:
        return False
    from bench.runtime.memory import is_out_of_memory

    return is_out_of_memory(error)


def _device_failed(error: BaseException) -> bool:
    if "torch" not in sys.modules:
        return False
    from bench.runtime.device import is_device_failure

    return is_device_failure(error)


if __name__ == "__main__":
    sys.exit(main())
