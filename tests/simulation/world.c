/* Time and chance of a simulated process, put before the C library's by LD_PRELOAD.
 *
 * Every clock and every random number of the process comes from here: Rust's std, tokio, openraft, rand, the seeds of
 * hash maps. Time stands still while code runs, and moves where the process's first thread sleeps. What is random is
 * the stream of SIMULATION_SEED. Other threads only free memory; they sleep for real and get a stream of their own. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000ull
/* The machine has been up for a while, and it is a day in 2026. */
static volatile uint64_t now = 100000 * SECOND;
#define WALL (1770000000ull * SECOND)

static uint64_t state;
static int seeded;

static int first_thread(void) { return syscall(SYS_gettid) == getpid(); }

static uint64_t next(uint64_t *s) {
    uint64_t z = (*s += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

ssize_t getrandom(void *out, size_t len, unsigned flags) {
    static __thread uint64_t other = 7;
    uint64_t *stream = &other;
    (void)flags;
    if (first_thread()) {
        if (!seeded) {
            const char *seed = getenv("SIMULATION_SEED");
            state = seed ? strtoull(seed, NULL, 10) : 0;
            seeded = 1;
        }
        stream = &state;
    }
    for (size_t i = 0; i < len; i += 8) {
        uint64_t r = next(stream);
        memcpy((char *)out + i, &r, len - i < 8 ? len - i : 8);
    }
    return (ssize_t)len;
}

int getentropy(void *out, size_t len) {
    getrandom(out, len, 0);
    return 0;
}

int clock_gettime(clockid_t clock, struct timespec *t) {
    uint64_t at = now;
    if (clock == CLOCK_PROCESS_CPUTIME_ID || clock == CLOCK_THREAD_CPUTIME_ID)
        return (int)syscall(SYS_clock_gettime, clock, t);
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)
        at += WALL;
    t->tv_sec = (time_t)(at / SECOND);
    t->tv_nsec = (long)(at % SECOND);
    return 0;
}

time_t time(time_t *out) {
    time_t t = (time_t)((WALL + now) / SECOND);
    if (out) *out = t;
    return t;
}

int gettimeofday(struct timeval *t, void *zone) {
    (void)zone;
    t->tv_sec = (time_t)((WALL + now) / SECOND);
    t->tv_usec = (suseconds_t)((WALL + now) % SECOND / 1000);
    return 0;
}

int nanosleep(const struct timespec *wanted, struct timespec *left) {
    if (!first_thread()) return (int)syscall(SYS_nanosleep, wanted, left);
    now += (uint64_t)wanted->tv_sec * SECOND + (uint64_t)wanted->tv_nsec;
    return 0;
}

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *wanted, struct timespec *left) {
    uint64_t at = (uint64_t)wanted->tv_sec * SECOND + (uint64_t)wanted->tv_nsec;
    if (!first_thread()) return (int)syscall(SYS_clock_nanosleep, clock, flags, wanted, left);
    if (!(flags & TIMER_ABSTIME)) now += at;
    else if (at > now) now = at;
    return 0;
}
