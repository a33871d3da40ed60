"""What tests of the console share: the process, its API and pages, clients of services, and the end of all of it."""
import http.client, http.server, json, os, re, shutil, signal, socket, ssl, subprocess, sys, threading, time, urllib.parse

from clusters import BIN, TOP, check, passed, until

DIR = TOP + "/console"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
# More for the console's command line.
MORE = []


def read(path):
    with open(path) as f:
        return f.read().strip()


class Console:
    """The process, and requests to it."""

    def __init__(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.process, self.hooked = None, []
        hooked = self.hooked

        class Hook(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                hooked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass
        self.hook = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
        threading.Thread(target=self.hook.serve_forever, daemon=True).start()
        self.start()

    def start(self):
        log = open(TOP + "/console.log", "ab")
        self.process = subprocess.Popen([BIN, "console", "--dir", DIR, "--listen", f"127.0.0.1:{self.port}",
                                         "--webhook", f"http://127.0.0.1:{self.hook.server_port}/told", *MORE],
                                        stdout=log, stderr=log)
        until("the console", lambda: self.api("GET", "/api/v1/services")[0] == 200, 15)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def request(self, method, path, body=None, headers=(), source=None):
        context = ssl.create_default_context(cafile=DIR + "/ca.pem")
        c = http.client.HTTPSConnection("localhost", self.port, timeout=30, context=context, source_address=source)
        try:
            c.request(method, path, body, dict(headers))
            r = c.getresponse()
            return r.status, r.read().decode(), r.headers
        finally:
            c.close()

    def api(self, method, path, body=None, token=None):
        headers = {"Authorization": "Bearer " + (token or read(DIR + "/token"))}
        if body is not None:
            headers["Content-Type"] = "application/json"
            body = body if isinstance(body, str) else json.dumps(body)
        status, text, _ = self.request(method, path, body, headers)
        return status, json.loads(text) if text else None

    def sign_in(self, password, name="operator", source=None):
        """As a browser does: the form's token first. (status, the session's cookie, its flags)."""
        _, text, headers = self.request("GET", "/sign-in", source=source)
        given = headers["Set-Cookie"].split(";")[0]
        csrf = re.search(r'name="csrf" value="(\w+)"', text).group(1)
        fields = urllib.parse.urlencode({"csrf": csrf, "name": name, "password": password})
        status, _, headers = self.request("POST", "/sign-in", fields, {**FORM, "Cookie": given}, source)
        session = next((c for c in headers.get_all("Set-Cookie") or [] if c.startswith("__Host-pontoon=")), "")
        return status, session.split(";")[0], session

    def service(self, id):
        status, seen = self.api("GET", f"/api/v1/services/{id}")
        return seen if status == 200 else None

    def create(self, name, plan):
        status, made = self.api("POST", "/api/v1/services",
                                {"name": name, "cloud": "aws", "region": "eu-central-1", "plan": plan})
        assert status == 201, made
        return made["id"]

    def serves(self, id):
        return until(f"{id} with all its nodes", lambda: (s := self.service(id)) and s["health"] == "running" and s, 60)

    def events(self, id):
        return self.api("GET", f"/api/v1/events?service={id}&count=100")[1]


class Follower(threading.Thread):
    """What a page that follows a service is told, as (event, data)."""

    def __init__(self, console, cookie, path):
        super().__init__(daemon=True)
        context = ssl.create_default_context(cafile=DIR + "/ca.pem")
        self.connection = http.client.HTTPSConnection("localhost", console.port, timeout=120, context=context)
        self.connection.request("GET", path, None, {"Cookie": cookie})
        self.answer, self.told = self.connection.getresponse(), []
        assert self.answer.status == 200
        self.start()

    def run(self):
        event = ""
        try:
            while line := self.answer.readline().decode().rstrip("\n"):
                # A browser passes an event on only where it has data.
                while line:
                    name, _, value = line.partition(": ")
                    if name == "event":
                        event = value
                    elif name == "data" and value:
                        self.told.append((event, value))
                    line = self.answer.readline().decode().rstrip("\n")
        except (OSError, ValueError, http.client.HTTPException):
            pass

    def heard(self, event, word=""):
        return any(e == event and word in data for e, data in self.told)


class Client:
    """RESP2 over TLS, CA and host name verified, as the overview says."""

    def __init__(self, connection, timeout=5):
        context = ssl.create_default_context(cadata=connection["ca"])
        raw = socket.create_connection((connection["host"], connection["port"]), timeout)
        self.sock = context.wrap_socket(raw, server_hostname=connection["host"])
        self.file = self.sock.makefile("rb")
        self.greeting = self.do("AUTH", connection["user"], connection["password"])
        assert self.greeting == b"+OK" or self.greeting.startswith(b"-LOADING"), self.greeting

    def do(self, *args):
        out = b"*%d\r\n" % len(args)
        for a in args:
            a = str(a).encode()
            out += b"$%d\r\n%s\r\n" % (len(a), a)
        self.sock.sendall(out)
        line = self.file.readline()
        if not line:
            raise ConnectionError("closed")
        line = line.rstrip(b"\r\n")
        if line.startswith(b"$") and line != b"$-1":
            return self.file.read(int(line[1:]) + 2)[:-2]
        return line


class Asker(threading.Thread):
    """Connects again and again, and counts what it is told."""

    def __init__(self, connection):
        super().__init__(daemon=True)
        self.connection, self.told, self.ended = connection, {}, False
        self.start()

    def run(self):
        while not self.ended:
            try:
                client = Client(self.connection)
                told = client.do("PING").split()[0].decode()
                client.sock.close()
            except OSError as e:
                told = type(e).__name__
            self.told[told] = self.told.get(told, 0) + 1
            time.sleep(0.01)

    def finish(self):
        self.ended = True
        self.join(10)
        return self.told


class Writer(threading.Thread):
    """Writes key after key by the stable address, and keeps those that were acknowledged."""

    def __init__(self, connection):
        super().__init__(daemon=True)
        self.connection, self.acknowledged, self.ended, self.gap = connection, [], False, 0.0
        self.start()

    def run(self):
        n, client, last = 0, None, time.monotonic()
        while not self.ended:
            try:
                client = client or Client(self.connection)
                n += 1
                if client.do("SET", f"w{n}", n) == b"+OK":
                    self.acknowledged.append(n)
                    now = time.monotonic()
                    self.gap, last = max(self.gap, now - last), now
            except OSError:
                client = None
                time.sleep(0.01)

    def finish(self):
        self.ended = True
        self.join(30)
        client = Client(self.connection)
        lost = [n for n in self.acknowledged if client.do("GET", f"w{n}") != str(n).encode()]
        return len(self.acknowledged), lost


def told(console, id):
    return json.loads(read(f"{DIR}/services/{id}/service.json"))


def node_of(console, id, role):
    return [n for n in told(console, id)["nodes"] if n["role"] == role][0]


def pids(id):
    told = json.loads(read(f"{DIR}/services/{id}/processes.json"))
    return [p["pid"] for p in told.values()]


def destroy(console, id, role):
    """Kills a node and deletes its disk: its id."""
    node = node_of(console, id, role)
    # Its disk first: the supervisor begins a process anew at once, and then finds none.
    os.rename(node["dir"], TOP + "/gone")
    os.kill(node["pid"], signal.SIGKILL)
    shutil.rmtree(TOP + "/gone")
    return node["id"]


def replaced(console, id, old, began):
    def whole():
        s = console.service(id)
        ids = [n["id"] for n in s["nodes"]]
        return s["health"] == "running" and old not in ids and len(ids) == 3 and max(ids) > 3 and s
    seen = until(f"the replacement of node {old}", whole, 60)
    return seen, time.monotonic() - began


def same_digests(id):
    out = subprocess.run([BIN, "admin", "digest", "--dir", f"{DIR}/services/{id}", "--output", "json"],
                         capture_output=True, text=True, timeout=60)
    return json.loads(out.stdout)


def read_bytes(path):
    try:
        with open(path, "rb") as f:
            return f.read().decode(errors="replace")
    except OSError:
        return ""


def run(name, main):
    """Carries `main` out, ends every process, and exits."""
    began, failed = time.monotonic(), None
    try:
        main()
    except (AssertionError, OSError, StopIteration, subprocess.SubprocessError) as e:
        failed = e
    finally:
        # The console first, so that it starts nothing anew.
        out = subprocess.run(["pgrep", "-f", f"console --dir {DIR} "], capture_output=True, text=True).stdout.split()
        for pid in out:
            os.kill(int(pid), signal.SIGKILL)
        if os.path.isdir(DIR + "/services"):
            for id in os.listdir(DIR + "/services"):
                subprocess.run([BIN, "dev", "stop", "--dir", f"{DIR}/services/{id}"], capture_output=True, timeout=120)
    if failed:
        print(f"{name}: FAILED after {len(passed)} checks: {failed}", file=sys.stderr)
        print("".join(open(TOP + "/console.log").readlines()[-30:]), file=sys.stderr)
        sys.exit(1)
    shutil.rmtree(TOP, ignore_errors=True)
    print(f"{name}: {len(passed)} checks passed in {time.monotonic() - began:.1f} s")
