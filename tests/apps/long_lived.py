"""Programs in other languages that are kept open across a failover: each is a process that reads commands from a pipe.

usage: long_lived.py cli|php|hiredis
Always: the process that answers after the failover is the one that answered before it.
"""

import os
import socket
import ssl
import subprocess
import sys
import threading

from cases import Cases, can_fail_over, eventually, service, settled, strike_primary

ABOUT = service()


def forwarder():
    """hiredis 0.14, which is what Debian 12 has, knows no TLS: this verifies the service's certificate in its place."""
    context = ssl.create_default_context(cafile=ABOUT["ca"])
    listener = socket.create_server(("127.0.0.1", 0))

    def one_way(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def accept():
        while True:
            near = listener.accept()[0]
            try:
                far = context.wrap_socket(
                    socket.create_connection((ABOUT["host"], ABOUT["port"])), server_hostname=ABOUT["host"]
                )
            except OSError:
                near.close()
                continue
            for pair in ((near, far), (far, near)):
                threading.Thread(target=one_way, args=pair, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1]


def program(kind):
    here = os.path.dirname(os.path.abspath(__file__))
    if kind == "cli":
        return ["redis-cli", "--cacert", ABOUT["ca"], "-u", ABOUT["uri"], "--no-auth-warning"]
    if kind == "php":
        return ["php", f"{here}/phpredis.php"]
    return [os.environ["APPS_DIR"] + "/hiredis", str(forwarder()), ABOUT["password"]]


def check(kind):
    process = subprocess.Popen(program(kind), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        # A silent program is ended, which ends the reading below.
        bound = threading.Timer(60, process.kill)
        bound.start()

        def ask(line):
            process.stdin.write(line + "\n")
            process.stdin.flush()
            return process.stdout.readline().strip()

        assert ask(f"SET long:{kind} before") == "OK"
        assert ask(f"GET long:{kind}") == "before"
        if can_fail_over():
            strike_primary()
        def after():
            answer = ask(f"GET long:{kind}")
            # What redis-cli prints of a lost connection takes more lines than one: the answer follows.
            while answer == "" and process.poll() is None:
                answer = process.stdout.readline().strip()
            return answer == "before" or (_ for _ in ()).throw(AssertionError(answer))
        eventually("an answer after the failover", 20, after)
        assert ask(f"SET long:{kind} after") == "OK"
        assert ask(f"GET long:{kind}") == "after"
        assert process.poll() is None
        bound.cancel()
    finally:
        process.kill()
        process.wait()


cases = Cases()
settled()
cases.run(f"{sys.argv[1]} kept open", check, sys.argv[1])
settled()
cases.finish()
