#!/usr/bin/env python3
"""tests/bench/limits_cluster.py BINARY: decisions through a Redis Cluster of this run's own, as the end-to-end tests start
it. The nodes share the last CPU, and the worker has the first."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))

from redis_server import Cluster  # noqa: E402

os.sched_setaffinity(0, {os.cpu_count() - 1})
with Cluster() as cluster:
    masters = cluster.nodes[:3]
    done = subprocess.run(["taskset", "-c", "0", sys.argv[1], ",".join(str(node.port) for node in masters),
                           ",".join(str(node.process.pid) for node in masters), "cluster"], check=False)
sys.exit(done.returncode)
