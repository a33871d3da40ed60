"""celery: 1,000 tasks with retry, chord and revoke, while the primary is killed.

Always: every result is as computed here; a task ran at least once (celery promises no more with late acknowledgements),
and how many ran more often is printed.
"""

import os
import signal
import subprocess
import sys
import threading
import time

import celery

import tasks
from cases import Cases, can_fail_over, eventually, settled, strike_primary

DOUBLES, STUBBORN, REVOKED, CHORDS, CHORD_SIZE = 700, 100, 50, 5, 30


def worker():
    return subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "tasks", "worker", "--pool=threads", "--concurrency=8"]
        + ["--without-gossip", "--without-mingle", "--loglevel=WARNING"],
        stdout=open(os.environ["APPS_DIR"] + "/celery.log", "ab"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def patiently(attempt):
    return eventually("a call of celery", 30, lambda: (attempt(),))[0]


def check():
    process = worker()
    try:
        patiently(lambda: tasks.app.control.ping(timeout=1) or 1 / 0)
        late = [patiently(lambda n=n: tasks.unwanted.apply_async((n,), countdown=15)) for n in range(REVOKED)]
        patiently(lambda: tasks.app.control.revoke([one.id for one in late]))
        chords = [
            patiently(lambda c=c: celery.chord(tasks.double.s(10000 + c * 100 + n) for n in range(CHORD_SIZE))(tasks.total.s()))
            for c in range(CHORDS)
        ]
        stubborn = [patiently(lambda n=n: tasks.stubborn.delay(n)) for n in range(STUBBORN)]
        striker = threading.Timer(1.0, strike_primary)
        if can_fail_over():
            striker.start()
        doubles = [patiently(lambda n=n: tasks.double.delay(n)) for n in range(DOUBLES)]
        if can_fail_over():
            striker.join()
        end = time.monotonic() + 60

        def results(handles):
            return [
                eventually(
                    f"the result of {one.id}", max(1, end - time.monotonic()), lambda one=one: (one.ready() and (one.result,))
                )[0]
                for one in handles
            ]

        assert results(doubles) == [2 * n for n in range(DOUBLES)]
        assert results(stubborn) == list(range(STUBBORN))
        assert results(chords) == [sum(2 * (10000 + c * 100 + n) for n in range(CHORD_SIZE)) for c in range(CHORDS)]
        assert results(late) and all(one.state == "REVOKED" for one in late)
        runs = patiently(lambda: tasks.COUNTER.hgetall("ran:double"))
        assert all(runs.get(b"%d" % n) for n in range(DOUBLES))
        more = sum(int(count) > 1 for count in runs.values())
        tries = patiently(lambda: tasks.COUNTER.hgetall("ran:stubborn"))
        assert len(tries) == STUBBORN and all(int(count) >= 3 for count in tries.values()), tries
        assert patiently(lambda: tasks.COUNTER.exists("ran:unwanted")) == 0, "a revoked task ran"
        print(f"   {len(runs)} tasks ran, {more} of them more than once; "
              f"{sum(int(c) > 3 for c in tries.values())} of {STUBBORN} retried tasks more than thrice")
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


cases = Cases()
settled()
cases.run("celery: 1,000 tasks, retries, chords, revoked", check)
settled()
cases.finish()
