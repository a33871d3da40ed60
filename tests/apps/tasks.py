"""The celery application under test, as an unmodified celery worker loads it.

Always: broker and result backend are the service's URI, TLS verified; a task's effects are counted in the service itself,
so that a task that ran twice shows.
"""

import ssl
import time

import celery
import redis

from cases import service

ABOUT = service()
# Late acknowledgement and retries of the backend are what celery has for a broker that fails over.
TLS = {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_ca_certs": ABOUT["ca"]}
app = celery.Celery("tasks", broker=ABOUT["uri"], backend=ABOUT["uri"])
app.conf.update(
    broker_use_ssl=TLS,
    redis_backend_use_ssl=TLS,
    broker_connection_retry_on_startup=True,
    broker_transport_options={"visibility_timeout": 10},
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=4,
    result_backend_always_retry=True,
    result_backend_max_retries=100,
    result_backend_transport_options={"retry_policy": {"max_retries": 50, "interval_start": 0.1, "interval_max": 0.5}},
    result_expires=600,
)


def counter():
    return redis.Redis.from_url(ABOUT["uri"], ssl_ca_certs=ABOUT["ca"], socket_timeout=5)


COUNTER = counter()


def ran(kind, number):
    """Counts a run; tried again while the service fails over."""
    end = time.monotonic() + 20
    while True:
        try:
            return COUNTER.hincrby(f"ran:{kind}", number, 1)
        except redis.RedisError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


@app.task
def double(number):
    ran("double", number)
    return 2 * number


@app.task(bind=True, max_retries=5)
def stubborn(self, number):
    """Fails at its first two tries."""
    ran("stubborn", number)
    if self.request.retries < 2:
        raise self.retry(countdown=0.2)
    return number


@app.task
def total(numbers):
    return sum(numbers)


@app.task
def unwanted(number):
    ran("unwanted", number)
