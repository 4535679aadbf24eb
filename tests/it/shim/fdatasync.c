/* A disk that misbehaves on request, for a process started with LD_PRELOAD on this library.
 *
 * SHIM_DIR        only files below this folder are concerned; required
 * SHIM_DELAY_MS   each fsync and fdatasync takes this much longer
 * SHIM_FAIL_WHEN  while this file exists, fsync and fdatasync fail with EIO
 * SHIM_FULL_WHEN  while this file exists, writing and allocating fail with ENOSPC
 *
 * The folder keeps children (a PostgreSQL, say) out of it: they inherit the environment.
 * A failed sync does not sync: what it was to make durable stays in the page cache only.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static char dir[PATH_MAX + 1];
static size_t dir_bytes;
static long delay_ms;
static const char *fail_when;
static const char *full_when;

/* The functions that are really there, by the type of their arguments. */
static int (*real_fsync)(int), (*real_fdatasync)(int);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_writev)(int, const struct iovec *, int);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_pwritev)(int, const struct iovec *, int, off_t);
static int (*real_fallocate)(int, int, off_t, off_t);
static int (*real_posix_fallocate)(int, off_t, off_t);

static void *real(const char *name)
{
    void *function = dlsym(RTLD_NEXT, name);
    if (function == NULL) {
        fprintf(stderr, "shim: no function %s\n", name);
        abort();
    }
    return function;
}

/* A copy: PostgreSQL writes what its processes do over its environment. */
static const char *setting(const char *name)
{
    const char *value = getenv(name);

    return value == NULL ? NULL : strdup(value);
}

__attribute__((constructor)) static void begin(void)
{
    const char *wanted = getenv("SHIM_DIR");
    const char *delay = getenv("SHIM_DELAY_MS");

    real_fsync = real("fsync");
    real_fdatasync = real("fdatasync");
    real_write = real("write");
    real_writev = real("writev");
    real_pwrite = real("pwrite64");
    real_pwritev = real("pwritev64");
    real_fallocate = real("fallocate64");
    real_posix_fallocate = real("posix_fallocate64");
    if (wanted == NULL || realpath(wanted, dir) == NULL) {
        return; /* No such folder: nothing is concerned. */
    }
    dir_bytes = strlen(dir);
    delay_ms = delay == NULL ? 0 : atol(delay);
    fail_when = setting("SHIM_FAIL_WHEN");
    full_when = setting("SHIM_FULL_WHEN");
}

/* Whether fd is a file below the folder. Leaves errno alone. */
static int concerned(int fd)
{
    char link[64], path[PATH_MAX + 1];
    ssize_t path_bytes;
    int before = errno;

    if (dir_bytes == 0) {
        return 0;
    }
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    path_bytes = readlink(link, path, PATH_MAX);
    errno = before;
    return path_bytes > (ssize_t)dir_bytes && path[dir_bytes] == '/' &&
           memcmp(path, dir, dir_bytes) == 0;
}

/* Whether the file that switches a fault on is there. Leaves errno alone. */
static int on(const char *file)
{
    int before = errno;
    int there = file != NULL && access(file, F_OK) == 0;

    errno = before;
    return there;
}

static int full(int fd)
{
    return on(full_when) && concerned(fd);
}

static int synced(int fd, int (*sync)(int))
{
    struct timespec left = {delay_ms / 1000, delay_ms % 1000 * 1000000};

    if (!concerned(fd)) {
        return sync(fd);
    }
    while (nanosleep(&left, &left) == -1 && errno == EINTR) {
    }
    if (on(fail_when)) {
        errno = EIO;
        return -1;
    }
    return sync(fd);
}

int fsync(int fd)
{
    return synced(fd, real_fsync);
}

int fdatasync(int fd)
{
    return synced(fd, real_fdatasync);
}

/* Gives `call`, or fails with ENOSPC where fd is on the full disk. */
#define UNLESS_FULL(fd, call) (full(fd) ? (errno = ENOSPC, -1) : (call))

ssize_t write(int fd, const void *bytes, size_t n)
{
    return UNLESS_FULL(fd, real_write(fd, bytes, n));
}

ssize_t writev(int fd, const struct iovec *parts, int n)
{
    return UNLESS_FULL(fd, real_writev(fd, parts, n));
}

ssize_t pwrite64(int fd, const void *bytes, size_t n, off_t at)
{
    return UNLESS_FULL(fd, real_pwrite(fd, bytes, n, at));
}

ssize_t pwrite(int fd, const void *bytes, size_t n, off_t at)
{
    return pwrite64(fd, bytes, n, at);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int n, off_t at)
{
    return UNLESS_FULL(fd, real_pwritev(fd, parts, n, at));
}

ssize_t pwritev(int fd, const struct iovec *parts, int n, off_t at)
{
    return pwritev64(fd, parts, n, at);
}

int fallocate64(int fd, int mode, off_t at, off_t n)
{
    return UNLESS_FULL(fd, real_fallocate(fd, mode, at, n));
}

int fallocate(int fd, int mode, off_t at, off_t n)
{
    return fallocate64(fd, mode, at, n);
}

/* Returns the error instead of setting errno. */
int posix_fallocate64(int fd, off_t at, off_t n)
{
    return full(fd) ? ENOSPC : real_posix_fallocate(fd, at, n);
}

int posix_fallocate(int fd, off_t at, off_t n)
{
    return posix_fallocate64(fd, at, n);
}
