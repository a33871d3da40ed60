"""What the Python driver tests share: counting cases, the service file, and striking the primary.

Always: a case that throws is a failure with its name; a failover that did not reach another node is one too.
"""

import json
import os
import signal
import sys
import time
import traceback


class Cases:
    """Runs named cases and counts them; `finish` prints the line that CI reads."""

    def __init__(self):
        self.passed = 0
        self.failed = 0

    def run(self, name, check, *args):
        begin = time.monotonic()
        try:
            check(*args)
        except Exception:
            self.failed += 1
            print(f"FAILED {name}")
            traceback.print_exc(file=sys.stdout)
        else:
            self.passed += 1
            print(f"ok {name} ({time.monotonic() - begin:.2f} s)")
        sys.stdout.flush()

    def finish(self):
        print(f"{self.passed} passed, {self.failed} failed")
        sys.exit(1 if self.failed or not self.passed else 0)


def service():
    """The service as `pontoon dev` describes it in DIR/service.json."""
    with open(os.environ["PONTOON_SERVICE"], encoding="utf-8") as file:
        return json.load(file)


def can_fail_over():
    return os.environ.get("PONTOON_FAILOVER") == "1"


def eventually(what, seconds, attempt):
    """Repeats `attempt` until it answers something true; what it throws in between is the reason."""
    end = time.monotonic() + seconds
    reason = "no answer"
    while time.monotonic() < end:
        try:
            answer = attempt()
            if answer:
                return answer
            reason = f"last answer: {answer!r}"
        except Exception as error:  # any error: it may pass, and is reported if it does not
            reason = f"{type(error).__name__}: {error}"
        time.sleep(0.05)
    raise AssertionError(f"{what} did not happen within {seconds} s ({reason})")


def primary():
    found = [node for node in service()["nodes"] if node["role"] == "primary"]
    return found[0] if len(found) == 1 else None


def strike_primary():
    """kill -9 of the primary; answers its description once another node is primary."""
    old = eventually("one primary", 20, primary)
    os.kill(old["pid"], signal.SIGKILL)

    def moved():
        new = primary()
        return new and new["id"] != old["id"] and new

    new = eventually(f"another primary than node {old['id']}", 20, moved)
    print(f"   killed node {old['id']} (pid {old['pid']}); node {new['id']} is primary")
    return old


def settled():
    """Waits until every node is up again, so that the next test begins with a whole cluster."""
    if can_fail_over():
        eventually(
            "every node primary or standby",
            30,
            lambda: sorted(node["role"] for node in service()["nodes"])
            == ["primary"] + ["standby"] * (len(service()["nodes"]) - 1),
        )
