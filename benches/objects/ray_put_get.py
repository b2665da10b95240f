"""Ray's side of creating and getting a small object, in its driver. Run with the Python that has Ray.

usage: ray_put_get.py BYTES TIMES WARM_SECONDS FOLDER
"""

import json
import os
import statistics
import sys
import time

# Before the import, which reads it: nothing is to be told to anyone.
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

import numpy as np
import ray  # type: ignore[import-not-found]

STORE_BYTES = 256 << 20


def put_get(data: object) -> int:
    """Nanoseconds of a put and a get; what it costs when the object goes is not in it."""
    started = time.perf_counter_ns()
    ref = ray.put(data)
    value = ray.get(ref)
    taken = time.perf_counter_ns() - started
    del value, ref
    return taken


def main() -> None:
    size, times, warm_seconds, folder = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
    ray.init(
        num_cpus=1,
        include_dashboard=False,
        object_store_memory=STORE_BYTES,
        log_to_driver=False,
        logging_level="ERROR",
        _temp_dir=folder,
    )
    try:
        data = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
        # Ray starts a worker ahead of time, which takes a core for a while.
        until = time.monotonic() + warm_seconds
        while time.monotonic() < until:
            put_get(data)
        print(json.dumps({"median_ns": statistics.median(put_get(data) for _ in range(times))}))
    finally:
        ray.shutdown()


if __name__ == "__main__":
    main()
