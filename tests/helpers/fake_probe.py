"""Replaces bench.measure.job in tests of its driver. It prints results and computes nothing.

The name of the probe's network selects the behaviour.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path


def print_result(**result):
    print(json.dumps(result), flush=True)


def hang():
    print("hang", flush=True)
    time.sleep(60)


def main(probe):
    name = probe["workload"]["name"]
    is_pyramid = name == "pyramid"
    print_result(torch="test", fixed=1.0, sizes=[24, 48, 96] if is_pyramid else [64])
    if name.endswith("mute"):
        hang()
    if name.endswith("memory"):
        print_result(error="out of memory: peak 1.0 GiB")
        return 2
    if name.endswith("killed"):
        os.kill(os.getpid(), signal.SIGKILL)
    if probe["workload"]["part"] != "train":
        print_result(image=0.25)
        return 0
    for part in range(3 if is_pyramid else 1):
        for warm, seconds in ((True, 3.0), (True, 0.5), *((False, s) for s in (0.5, 0.4, 0.7, 0.6, 0.5))):
            if part == 2 or (name.endswith("slow") and seconds == 0.7):
                hang()
            print_result(part=part, warm=warm, step=seconds, peak=100)
        print_result(part=part, joules=8.0)
    print_result(fixed=2.0)
    return 0


if __name__ == "__main__":
    sys.exit(main(json.loads(Path(sys.argv[1]).read_text())))
