"""django sessions and both caches (its own and django-redis), redis-py's Lock and redlock, while the primary is killed.

Always: a session saved before the failover is read after it, a counter that was acknowledged is not lost, and two never
hold a lock at once.
"""

import threading
import time

import django
import redis
import redlock
from django.conf import settings

from cases import Cases, can_fail_over, eventually, service, settled, strike_primary

ABOUT = service()
TLS = {"ssl_ca_certs": ABOUT["ca"]}
settings.configure(
    SECRET_KEY="a test has no secrets",
    SESSION_ENGINE="django.contrib.sessions.backends.cache",
    CACHES={
        "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": ABOUT["uri"], "OPTIONS": TLS},
        "other": {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": ABOUT["uri"],
            "KEY_PREFIX": "other",
            "OPTIONS": {"CONNECTION_POOL_KWARGS": TLS},
        },
    },
)
django.setup()

from django.contrib.sessions.backends.cache import SessionStore  # noqa: E402 (after the settings)
from django.core.cache import caches  # noqa: E402


def patiently(attempt):
    return eventually("an answer", 20, lambda: (attempt(),))[0]


def sessions_and_caches():
    sessions = []
    for number in range(100):
        session = SessionStore()
        session["user"] = {"id": number, "name": f"user {number} é"}
        session.save()
        sessions.append(session.session_key)
    for name in ("default", "other"):
        cache = caches[name]
        cache.set_many({f"k{n}": {"n": n, "text": "x" * n} for n in range(50)}, 300)
        cache.set("count", 0, None)
        assert cache.add("k1", "no") in (False, 0, None)
        cache.set("brief", 1, 1)
    if can_fail_over():
        strike_primary()
    for number, key in enumerate(sessions):
        assert patiently(lambda key=key: SessionStore(session_key=key).load())["user"]["id"] == number
    for name in ("default", "other"):
        cache = caches[name]
        many = patiently(lambda cache=cache: cache.get_many([f"k{n}" for n in range(50)]))
        assert many == {f"k{n}": {"n": n, "text": "x" * n} for n in range(50)}, name
        for _ in range(20):
            cache.incr("count")
        assert cache.get("count") == 20
        eventually("the end of a lifetime", 5, lambda cache=cache: cache.get("brief") is None)
        assert cache.touch("k2", 100) and cache.delete("k2") and cache.get("k2") is None
    assert caches["other"].ttl("k1") > 200 and len(list(caches["other"].iter_keys("k4*"))) == 11
    session = SessionStore(session_key=sessions[0])
    session.cycle_key()
    assert session["user"]["id"] == 0 and not SessionStore().exists(sessions[0])
    session.flush()


def locks():
    """Eight threads add to a number that only the lock guards, while the primary is killed."""
    state = {"held": 0, "sum": 0}
    wrong = []

    def add():
        mine = redis.Redis.from_url(ABOUT["uri"], socket_timeout=5, **TLS)
        for _ in range(20):
            lock = mine.lock("guard", timeout=5, sleep=0.005)
            token = None
            end = time.monotonic() + 30
            while token is None and time.monotonic() < end:
                try:
                    token = lock.acquire(blocking_timeout=20)
                except redis.RedisError:
                    # Whether the lost answer was a yes is not known: if so, its lifetime ends the lock.
                    time.sleep(0.05)
            if not token:
                wrong.append("no lock within 30 s")
                return
            state["held"] += 1
            if state["held"] != 1:
                wrong.append("held twice")
            now = state["sum"]
            time.sleep(0.001)
            state["sum"] = now + 1
            state["held"] -= 1
            try:
                lock.release()
            except redis.RedisError:
                pass  # whether it was released is not known: if not, its lifetime ends it

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    if can_fail_over():
        strike_primary()
    for thread in threads:
        thread.join(60)
    assert not wrong, wrong
    assert state["sum"] == 160, state


def red_lock():
    client = redis.Redis.from_url(ABOUT["uri"], socket_timeout=5, **TLS)
    manager = redlock.Redlock([client], retry_count=1)
    held = manager.lock("red", 60000)
    assert held and not manager.lock("red", 1000)
    if can_fail_over():
        strike_primary()
        patiently(client.ping)
    assert not manager.lock("red", 1000), "a lock was lost in the failover"
    manager.unlock(held)
    assert client.get("red") is None
    assert manager.lock("red", 1000)


cases = Cases()
for name, check in (
    ("django: sessions and caches", sessions_and_caches),
    ("redis-py's Lock", locks),
    ("redlock", red_lock),
):
    settled()
    cases.run(name, check)
settled()
cases.finish()
