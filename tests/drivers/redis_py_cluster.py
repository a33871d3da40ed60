"""redis-py's cluster client on a service that redirects: it follows a failover by MOVED.

Always: the client object is the same before and after; certificates and host names are verified.
"""

from redis.backoff import ConstantBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.retry import Retry

import cases
from cases import can_fail_over, eventually, service


def connect():
    about = service()
    nodes = [ClusterNode("localhost", int(n["client_addr"].rsplit(":", 1)[1])) for n in about["nodes"]]
    return RedisCluster(
        startup_nodes=nodes,
        username=about["user"],
        password=about["password"],
        ssl=True,
        ssl_ca_certs=about["ca"],
        socket_timeout=5,
        retry=Retry(ConstantBackoff(0.2), 50),
    )


def keys_of_many_slots(client, tag):
    for i in range(300):
        assert client.set(f"{tag}:{i}", i)
    for i in range(300):
        assert client.get(f"{tag}:{i}") == str(i).encode()
    pipe = client.pipeline()
    for i in range(100):
        pipe.incr(f"{tag}:n:{i}")
    assert pipe.execute() == [1] * 100


def one_primary_owns_all_slots(client, _tag):
    assert len(client.get_primaries()) == 1, client.get_nodes()
    if can_fail_over():
        assert len(client.get_replicas()) == len(service()["nodes"]) - 1, client.get_nodes()
    slots = client.cluster_slots()
    assert sum(end - start + 1 for start, end in slots) == 16384, slots


def failover(client, tag):
    client.set(f"{tag}:kept", "1")
    old = cases.strike_primary()
    eventually("a write at the new primary", 20, lambda: client.set(f"{tag}:kept2", "1"))
    assert client.get(f"{tag}:kept") == b"1"
    port = int(old["client_addr"].rsplit(":", 1)[1])
    eventually(
        "the client to know the new primary",
        20,
        lambda: client.set(f"{tag}:x", "1") and all(n.port != port for n in client.get_primaries()),
    )
    cases.settled()


def main():
    run = cases.Cases()
    client = connect()
    checks = (one_primary_owns_all_slots, keys_of_many_slots)
    for check in checks:
        run.run(f"redis-py cluster {check.__name__}", check, client, "pyc")
    if can_fail_over():
        run.run("redis-py cluster failover", failover, client, "pyc")
        for check in checks:
            run.run(f"redis-py cluster after failover {check.__name__}", check, client, "pyc:after")
    client.close()
    run.finish()


if __name__ == "__main__":
    main()
