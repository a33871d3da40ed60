"""What tests of a cluster that `pontoon dev` runs share: its processes, clients over TLS, and the end of all of it."""
import http.client, json, os, shutil, socket, ssl, subprocess, sys, tempfile, time

BIN = os.environ["PONTOON_BIN"]
TOP = tempfile.mkdtemp(prefix=f"pontoon-{os.path.basename(sys.argv[0])}-")
DIR = TOP + "/cluster"
passed = []


def check(what, ok, *detail):
    if not ok:
        raise AssertionError(f"{what}: {' '.join(map(str, detail))[-2000:]}")
    passed.append(what)
    print(f"  ok: {what}", flush=True)


def until(what, test, seconds=30):
    end, last = time.monotonic() + seconds, None
    while time.monotonic() < end:
        try:
            last = test()
        except (OSError, ValueError, KeyError, IndexError, AssertionError, http.client.HTTPException) as e:
            last = e
        if last and not isinstance(last, Exception):
            return last
        time.sleep(0.02)
    raise AssertionError(f"{what} did not come in {seconds} s; last: {last}")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Authority:
    """An operator's own CA, and the certificate for clients that it gives."""

    def __init__(self, top):
        self.top = top
        os.makedirs(top)
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "ca.key",
                     "-out", "ca.pem", "-days", "2", "-subj", "/CN=an operator's own")
        self.give()

    def openssl(self, *words):
        subprocess.run(["openssl", *words], cwd=self.top, check=True, capture_output=True)

    def give(self):
        """A new certificate in the place of the one before."""
        self.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "new.key", "-out", "new.csr",
                     "-subj", "/CN=service", "-addext", "subjectAltName=DNS:localhost")
        self.openssl("x509", "-req", "-in", "new.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "2", "-copy_extensions", "copy", "-out", "new.pem")
        for end in ("key", "pem"):
            os.rename(f"{self.top}/new.{end}", f"{self.top}/service.{end}")

    def flags(self):
        return [f"--service-cert={self.top}/service.pem", f"--service-key={self.top}/service.key", f"--service-ca={self.top}/ca.pem",
                "--service-host=localhost"]

    def shown(self, port, host="127.0.0.1"):
        """Whether clients at an address are shown the newest."""
        context = ssl.create_default_context(cafile=f"{self.top}/ca.pem")
        with context.wrap_socket(socket.create_connection((host, port), 5), server_hostname="localhost") as s:
            return s.getpeercert(True) == ssl.PEM_cert_to_DER_cert(open(f"{self.top}/service.pem").read())


class Cluster:
    def __init__(self, more=()):
        self.port, self.process, self.more = free_port(), None, more
        self.start()

    def start(self):
        self.process = subprocess.Popen([BIN, "dev", "--plan", "premium", "--dir", DIR, "--port", str(self.port), *self.more],
                                        stdout=open(TOP + "/dev.log", "ab"), stderr=subprocess.STDOUT)
        until("a primary", lambda: self.primary(), 30)
        until("three nodes", self.whole, 30)

    def stop(self):
        self.process.terminate()
        self.process.wait(60)

    def told(self):
        return json.load(open(DIR + "/service.json"))

    def primary(self):
        return [n for n in self.told()["nodes"] if n["role"] == "primary"][0]

    def standby(self):
        return self.standbys()[0]

    def standbys(self):
        return [n for n in self.told()["nodes"] if n["role"] == "standby"]

    def whole(self):
        return all(n["role"] in ("primary", "standby") for n in self.told()["nodes"])

    def command(self, *words, node=None):
        at = ["--node", str(node)] if node else []
        out = subprocess.run([BIN, "admin", "command", "--dir", DIR, "--output", "json", *at, *words], capture_output=True, text=True, timeout=30)
        return json.loads(out.stdout) if out.returncode == 0 else out.stderr.strip()

    def shown(self, name):
        return [self.command("CONFIG", "GET", name, node=n["id"])[1] for n in self.told()["nodes"]]


class Client:
    """RESP2 over TLS from an address of this machine, perhaps with bytes of its own before the handshake."""

    def __init__(self, port, source="127.0.0.1", before=b"", login=True):
        raw = socket.create_connection(("127.0.0.1", port), 5, source_address=(source, 0))
        if before:
            raw.sendall(before)
        told = json.load(open(DIR + "/service.json"))
        context = ssl.create_default_context(cafile=told["ca"])
        self.sock = context.wrap_socket(raw, server_hostname="localhost")
        self.buffer = b""
        if login:
            assert self.do("AUTH", told["password"]) == b"+OK"

    def do(self, *args):
        self.send(*args)
        return self.reply()

    def more(self):
        got = self.sock.recv(65536)
        if not got:
            raise ConnectionError("closed")
        self.buffer += got

    def reply(self):
        while b"\r\n" not in self.buffer:
            self.more()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        if line[:1] in (b"$", b"=") and line != b"$-1":
            length = int(line[1:])
            while len(self.buffer) < length + 2:
                self.more()
            line, self.buffer = self.buffer[:length], self.buffer[length + 2:]
        return line

    def send(self, *args):
        out = b"*%d\r\n" % len(args)
        for a in args:
            a = a if isinstance(a, bytes) else str(a).encode()
            out += b"$%d\r\n%s\r\n" % (len(a), a)
        self.sock.sendall(out)

    def whole(self):
        """A reply with all that is in it; a push of RESP3 as a list too."""
        line = self.reply()
        if line[:1] in (b"*", b">") and line[1:].lstrip(b"-").isdigit():
            return [self.whole() for _ in range(int(line[1:]))]
        return line

    def silent(self, seconds=0.3):
        """Whether nothing comes for so long."""
        self.sock.settimeout(seconds)
        try:
            if not self.buffer:
                self.more()
            return False
        except TimeoutError:
            return True
        finally:
            self.sock.settimeout(None)

    def over(self, seconds=5):
        """Whether the connection ends, whatever comes before."""
        self.sock.settimeout(seconds)
        try:
            while self.sock.recv(65536):
                pass
            return True
        except TimeoutError:
            return False
        except OSError:
            return True


def run(main):
    """Runs a test, ends its cluster, and the process with its verdict."""
    name, began, failed = os.path.basename(sys.argv[0]), time.monotonic(), None
    try:
        main()
    except (AssertionError, OSError, StopIteration, subprocess.SubprocessError) as e:
        failed = e
    finally:
        subprocess.run([BIN, "dev", "stop", "--dir", DIR], capture_output=True, timeout=120)
    if failed:
        print(f"{name}: FAILED after {len(passed)} checks: {failed!r}", file=sys.stderr)
        print("".join(open(TOP + "/dev.log").readlines()[-20:]), file=sys.stderr)
        sys.exit(1)
    shutil.rmtree(TOP, ignore_errors=True)
    print(f"{name}: {len(passed)} checks passed in {time.monotonic() - began:.1f} s")
