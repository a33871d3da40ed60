"""redis_exporter (Debian's prometheus-redis-exporter) on the service as a tenant has it: `redis_up 1`, no scrape error, and the
metric names that it gives of a redis-server beside it, less those listed here with their reason.

usage: exporter.py restricted|unrestricted (the restricted list of the service that runs)
Always: the exporter is unmodified and listens on loopback alone; both scrapes are of the same program.
"""

import os
import re
import socket
import subprocess
import sys
import urllib.request

from cases import Cases, eventually, service

# Metric name: why a tenant's service does not give it.
ABSENT = {
    "redis_config_": "CONFIG is refused to a tenant (A5)",
    "redis_cpu_sys_main_thread_seconds_total": "several threads do what Redis's main thread does; their sum is redis_cpu_sys_seconds_total",
    "redis_cpu_user_main_thread_seconds_total": "as the one before",
}

if sys.argv[1:] == ["unrestricted"]:
    del ABSENT["redis_config_"]


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def scrape(uri, *more):
    port = free_port()
    exporter = subprocess.Popen(
        ["prometheus-redis-exporter", "-redis.addr", uri, "-web.listen-address", f"127.0.0.1:{port}", *more],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        url = f"http://127.0.0.1:{port}/metrics"
        return eventually("a scrape", 20, lambda: urllib.request.urlopen(url, timeout=10).read().decode())
    finally:
        exporter.terminate()
        exporter.wait(10)


def names(text):
    return set(re.findall(r"^(redis_[a-z0-9_]+)", text, re.M))


def check():
    about = service()
    ours = scrape(about["uri"], "-tls-ca-cert-file", about["ca"])
    assert re.search(r"^redis_up 1$", ours, re.M), re.findall(r"^redis_up.*", ours, re.M)
    errors = re.findall(r"^redis_exporter_last_scrape_error\{.*", ours, re.M)
    port = free_port()
    beside = subprocess.Popen(
        ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", os.environ["APPS_DIR"]],
        stdout=subprocess.DEVNULL,
    )
    try:
        eventually("redis-server to listen", 10, lambda: socket.create_connection(("127.0.0.1", port), 1).close() or True)
        theirs = scrape(f"redis://127.0.0.1:{port}")
    finally:
        beside.terminate()
        beside.wait(10)
    lost = {name for name in names(theirs) - names(ours) if not any(name.startswith(known) for known in ABSENT)}
    print(f"   {len(names(ours))} metric names, redis-server gives {len(names(theirs))}; missing: {sorted(names(theirs) - names(ours))}")
    assert errors and all(error.endswith(" 0") for error in errors), errors
    assert not lost, sorted(lost)


cases = Cases()
cases.run(f"redis_exporter, {sys.argv[1]}", check)
cases.finish()
