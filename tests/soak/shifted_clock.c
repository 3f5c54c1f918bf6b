/* The wall clock of every process that preloads this: the real one plus the seconds (a double) in $SHIFTED_CLOCK.
   Monotonic clocks, by which processes wait, are left as they are; waits until a wall-clock time are given the real
   one, or they would all be over at once. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile double *offset_s;

__attribute__((constructor)) static void open_offset(void) {
    const char *path = getenv("SHIFTED_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *page = file < 0 ? MAP_FAILED : mmap(NULL, sizeof(double), PROT_READ, MAP_SHARED, file, 0);
    if (page != MAP_FAILED) offset_s = page;
    if (file >= 0) close(file);
}

static void shift(struct timespec *now) {
    double whole = floor(*offset_s);
    now->tv_sec += (time_t)whole;
    now->tv_nsec += (long)((*offset_s - whole) * 1e9);
    if (now->tv_nsec >= 1000000000L) { now->tv_sec += 1; now->tv_nsec -= 1000000000L; }
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = (int)syscall(SYS_clock_gettime, clock, now);
    if (!failed && offset_s && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) shift(now);
    return failed;
}

time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone) {
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    out->tv_sec = now.tv_sec;
    out->tv_usec = now.tv_nsec / 1000;
    return 0;
}

/* A time of a monotonic clock is seconds since the machine started, no date. */
static struct timespec real_time(const struct timespec *until) {
    struct timespec real = *until;
    if (offset_s && until->tv_sec > 500000000L) real.tv_sec -= (time_t)floor(*offset_s);
    return real;
}

int pthread_cond_timedwait(pthread_cond_t *restrict one, pthread_mutex_t *restrict lock,
                           const struct timespec *restrict until) {
    struct timespec real = real_time(until);
    return ((typeof(&pthread_cond_timedwait))dlsym(RTLD_NEXT, "pthread_cond_timedwait"))(one, lock, &real);
}

int sem_timedwait(sem_t *restrict one, const struct timespec *restrict until) {
    struct timespec real = real_time(until);
    return ((typeof(&sem_timedwait))dlsym(RTLD_NEXT, "sem_timedwait"))(one, &real);
}
