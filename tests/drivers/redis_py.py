"""redis-py on the stable URI: the same client object before and after a failover, TLS 1.2 and 1.3.

Always: certificates and host names are verified; the client is never made anew after the failover.
"""

import socket
import ssl
import threading

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

import cases
from cases import can_fail_over, eventually, service

BINARY = bytes(range(256)) + b"\r\n$5\r\n\x00end"
default_context = ssl.create_default_context


def pin_tls(version):
    """Every context that the driver makes from now on speaks this version alone."""

    def context(*args, **kwargs):
        made = default_context(*args, **kwargs)
        made.minimum_version = version
        made.maximum_version = version
        return made

    ssl.create_default_context = context


def connect(**more):
    about = service()
    return redis.Redis.from_url(
        about["uri"], ssl_ca_certs=about["ca"], socket_timeout=5, health_check_interval=1, **more
    )


def negotiated(client, version):
    connection = client.connection_pool.get_connection()
    try:
        assert connection._sock.version() == version, connection._sock.version()
    finally:
        client.connection_pool.release(connection)


def values(client, tag):
    assert client.set(f"{tag}:bin", BINARY) is True
    assert client.get(f"{tag}:bin") == BINARY
    key = b"\x00\r\n\xff" + tag.encode()
    assert client.set(key, b"") is True
    assert client.get(key) == b""
    assert client.get(f"{tag}:missing") is None
    client.hset(f"{tag}:h", mapping={"f": BINARY, "g": 1})
    assert client.hgetall(f"{tag}:h") == {b"f": BINARY, b"g": b"1"}
    client.rpush(f"{tag}:l", *range(5))
    assert client.lrange(f"{tag}:l", 1, 3) == [b"1", b"2", b"3"]
    client.zadd(f"{tag}:z", {"a": 1.5, "b": 2})
    assert client.zrange(f"{tag}:z", 0, -1, withscores=True) in (
        [(b"a", 1.5), (b"b", 2.0)],
        [[b"a", 1.5], [b"b", 2.0]],
    )
    client.sadd(f"{tag}:s", "x", "y")
    assert client.smembers(f"{tag}:s") == {b"x", b"y"}
    assert client.expire(f"{tag}:s", 100) and 0 < client.ttl(f"{tag}:s") <= 100


def pipelines(client, tag):
    pipe = client.pipeline(transaction=False)
    for i in range(200):
        pipe.set(f"{tag}:p:{i}", i).get(f"{tag}:p:{i}").incr(f"{tag}:p:n")
    replies = pipe.execute()
    assert replies[0::3] == [True] * 200
    assert replies[1::3] == [str(i).encode() for i in range(200)]
    assert replies[2::3] == list(range(1, 201))
    pipe.set(f"{tag}:p:text", "x").incr(f"{tag}:p:text").get(f"{tag}:p:text")
    replies = pipe.execute(raise_on_error=False)
    assert isinstance(replies[1], redis.ResponseError) and replies[2] == b"x", replies


def transactions(client, tag):
    key = f"{tag}:tx"
    client.delete(key)
    with client.pipeline() as pipe:
        assert pipe.set(key, 1).incr(key).get(key).execute() == [True, 2, b"2"]
    with client.pipeline() as pipe:
        pipe.watch(key)
        client.set(key, 10)  # another connection
        pipe.multi()
        pipe.set(key, 11)
        try:
            pipe.execute()
            raise AssertionError("EXEC after a watched key changed must not run")
        except redis.WatchError:
            pass
    assert client.get(key) == b"10"

    def add_five(pipe):
        now = int(pipe.get(key))
        pipe.multi()
        pipe.set(key, now + 5)

    assert client.transaction(add_five, key) == [True]
    assert client.get(key) == b"15"


def pubsub(client, tag):
    with client.pubsub() as messages:
        messages.subscribe(f"{tag}:ch")
        messages.psubscribe(f"{tag}:c*")
        for _ in range(2):
            assert messages.get_message(timeout=5)["type"] in ("subscribe", "psubscribe")
        assert client.publish(f"{tag}:ch", BINARY) == 2
        got = [messages.get_message(timeout=5) for _ in range(2)]
        assert sorted(m["type"] for m in got) == ["message", "pmessage"], got
        assert all(m["data"] == BINARY for m in got)
        messages.unsubscribe()
        messages.punsubscribe()


def scan(client, tag):
    wanted = {f"{tag}:scan:{i}".encode() for i in range(1000)}
    client.mset({key: 1 for key in wanted})
    assert set(client.scan_iter(match=f"{tag}:scan:*", count=50)) == wanted
    client.hset(f"{tag}:hscan", mapping={str(i): i for i in range(1000)})
    assert len(dict(client.hscan_iter(f"{tag}:hscan"))) == 1000


def everything(run, client, tag):
    for check in (values, pipelines, transactions, pubsub, scan):
        run.run(f"redis-py {tag} {check.__name__}", check, client, tag)


class Load(threading.Thread):
    """Writes one key after the other; remembers those whose write was acknowledged."""

    def __init__(self, client, tag):
        super().__init__(daemon=True)
        self.client, self.tag = client, tag
        self.acknowledged, self.running = [], True

    def run(self):
        n = 0
        while self.running:
            n += 1
            try:
                if self.client.set(f"{self.tag}:load:{n}", n):
                    self.acknowledged.append(n)
            except redis.RedisError:
                pass  # its outcome is unknown: nothing is claimed about it

    def stop(self):
        self.running = False
        self.join(30)
        assert not self.is_alive(), "a write neither succeeded nor failed for 30 s"

    def check(self):
        assert self.acknowledged, "no write was acknowledged"
        pipe = self.client.pipeline(transaction=False)
        for n in self.acknowledged:
            pipe.get(f"{self.tag}:load:{n}")
        lost = [n for n, value in zip(self.acknowledged, pipe.execute()) if value != str(n).encode()]
        assert not lost, f"{len(lost)} of {len(self.acknowledged)} acknowledged writes lost: {lost[:5]}"


def failover(client, tag):
    """Under load of the same client object; messages of a subscription arrive again afterwards."""
    load = Load(client, tag)
    messages = client.pubsub(ignore_subscribe_messages=True)
    messages.subscribe(f"{tag}:news")
    messages.get_message(timeout=5)
    load.start()
    eventually("writes", 10, lambda: len(load.acknowledged) > 20)
    cases.strike_primary()
    before = len(load.acknowledged)
    eventually("writes after the failover", 20, lambda: len(load.acknowledged) > before + 20)
    load.stop()
    load.check()

    def heard():
        client.publish(f"{tag}:news", "after")
        message = messages.get_message(timeout=0.5)
        return message and message["data"] == b"after"

    eventually("a message on the old subscription", 20, heard)
    messages.close()
    cases.settled()


def refusals():
    """A client that verifies does not talk to whom it cannot verify; a wrong password is refused."""
    about = service()
    once = Retry(NoBackoff(), 0)
    try:
        redis.Redis.from_url(about["uri"], retry=once, socket_timeout=5).ping()
        raise AssertionError("a certificate of an unknown CA was accepted")
    except redis.ConnectionError as error:
        assert "CERTIFICATE_VERIFY_FAILED" in str(error), error
    try:
        redis.Redis(
            host=about["host"],
            port=about["port"],
            password="wrong",
            ssl=True,
            ssl_ca_certs=about["ca"],
            retry=once,
        ).ping()
        raise AssertionError("a wrong password was accepted")
    except redis.AuthenticationError:
        pass
    context = default_context(cafile=about["ca"])
    with socket.create_connection((about["host"], about["port"]), timeout=5) as plain:
        try:
            context.wrap_socket(plain, server_hostname="other.example")
            raise AssertionError("the name other.example was accepted")
        except ssl.SSLCertVerificationError:
            pass


def main():
    run = cases.Cases()
    run.run("redis-py refusals", refusals)
    versions = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}
    for name, version in versions.items():
        pin_tls(version)
        for protocol in (2, 3):
            client = connect(protocol=protocol)
            tag = f"py:{name}:resp{protocol}"
            run.run(f"redis-py {tag} negotiated", negotiated, client, name)
            everything(run, client, tag)
            if can_fail_over():
                run.run(f"redis-py {tag} failover", failover, client, tag)
                everything(run, client, tag + ":after")
            client.close()
    run.finish()


if __name__ == "__main__":
    main()
