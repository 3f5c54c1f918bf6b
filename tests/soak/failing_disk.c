/* A disk that fails: files under $FAILING_FOLDER, of every process that preloads this, can be written for as many bytes
   as the first number in the file $FAILING_DISK still says; with a second number above 0 they are read-only. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static struct { _Atomic long long bytes_left, read_only; } *disk;
static const char *folder;
#define REAL(name) ((typeof(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("FAILING_DISK");
    int file = path ? REAL(open)(path, O_RDWR | O_CLOEXEC) : -1;
    void *page = file < 0 ? MAP_FAILED : mmap(NULL, sizeof *disk, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    folder = getenv("FAILING_FOLDER");
    if (page != MAP_FAILED && folder) disk = page;
    if (file >= 0) close(file);
}

static int inside(int directory, const char *path) {
    char place[4096];
    if (!disk) return 0;
    if (directory >= 0 && (!path || path[0] != '/')) {
        char link[64];
        snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
        ssize_t length = readlink(link, place, sizeof place - 1);
        if (length < 0) return 0;
        place[length] = 0;
        path = place;
    }
    return path && strncmp(path, folder, strlen(folder)) == 0;
}

/* How many of `wanted` bytes may be written; 0 with errno where none may. */
static size_t allowed(int file, size_t wanted) {
    if (!wanted || !inside(file, NULL)) return wanted;
    if (disk->read_only > 0) { errno = EROFS; return 0; }
    long long left = atomic_fetch_sub(&disk->bytes_left, (long long)wanted);
    if (left <= 0) { errno = ENOSPC; return 0; }
    return left < (long long)wanted ? (size_t)left : wanted;
}

static int refused(int directory, const char *path) {
    if (!inside(directory, path) || disk->read_only <= 0) return 0;
    errno = EROFS;
    return 1;
}

ssize_t write(int file, const void *data, size_t size) {
    size_t some = allowed(file, size);
    return size && !some ? -1 : REAL(write)(file, data, some);
}

ssize_t pwrite(int file, const void *data, size_t size, off_t at) {
    size_t some = allowed(file, size);
    return size && !some ? -1 : REAL(pwrite)(file, data, some, at);
}

ssize_t pwrite64(int file, const void *data, size_t size, off64_t at) {
    size_t some = allowed(file, size);
    return size && !some ? -1 : REAL(pwrite64)(file, data, some, at);
}

ssize_t writev(int file, const struct iovec *parts, int count) {
    size_t size = 0;
    for (int n = 0; n < count; n++) size += parts[n].iov_len;
    return size && !allowed(file, size) ? -1 : REAL(writev)(file, parts, count);
}

#define WRITES(flags) ((flags) & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | O_APPEND))
#define MODE(flags) mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { va_list more; va_start(more, flags); mode = va_arg(more, mode_t); va_end(more); }

int open(const char *path, int flags, ...) {
    MODE(flags)
    return WRITES(flags) && refused(-1, path) ? -1 : REAL(open)(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    MODE(flags)
    return WRITES(flags) && refused(-1, path) ? -1 : REAL(open64)(path, flags, mode);
}

int openat(int at, const char *path, int flags, ...) {
    MODE(flags)
    return WRITES(flags) && refused(at, path) ? -1 : REAL(openat)(at, path, flags, mode);
}

int openat64(int at, const char *path, int flags, ...) {
    MODE(flags)
    return WRITES(flags) && refused(at, path) ? -1 : REAL(openat64)(at, path, flags, mode);
}

int mkdir(const char *path, mode_t mode) { return refused(-1, path) ? -1 : REAL(mkdir)(path, mode); }
int unlink(const char *path) { return refused(-1, path) ? -1 : REAL(unlink)(path); }
int rename(const char *from, const char *to) { return refused(-1, to) ? -1 : REAL(rename)(from, to); }
int link(const char *from, const char *to) { return refused(-1, to) ? -1 : REAL(link)(from, to); }
