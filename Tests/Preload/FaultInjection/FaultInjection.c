#define _GNU_SOURCE
#include "FaultInjection.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static _Atomic int64_t *slots;

// What a killed write to a file still leaves there.
struct write_part {
    int file;
    const void *bytes;
    size_t count;
    off64_t offset;
};
static _Thread_local struct write_part part;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("FAULT_INJECTION");
    if (path == NULL) return;
    int file = open(path, O_RDWR | O_CLOEXEC);
    if (file < 0) return;
    void *mapped = mmap(NULL, FAULT_SLOTS * sizeof(int64_t), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (mapped != MAP_FAILED) slots = mapped;
}

static bool ends_with(const char *text, size_t length, const char *end) {
    size_t wanted = strlen(end);
    return length >= wanted && memcmp(text + length - wanted, end, wanted) == 0;
}

static bool is_connection(int file) {
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    int before = errno;
    bool found = getsockname(file, (struct sockaddr *)&address, &size) == 0 && address.ss_family == AF_INET;
    errno = before;
    return found;
}

static bool is_folder(int file) {
    struct stat status;
    int before = errno;
    bool found = fstat(file, &status) == 0 && S_ISDIR(status.st_mode);
    errno = before;
    return found;
}

static bool named(const char *path, size_t length, int64_t wanted) {
    bool log = ends_with(path, length, ".db-wal");
    bool database = ends_with(path, length, ".db");
    return wanted == FAULT_LOG ? log : wanted == FAULT_DATABASE ? database : wanted == FAULT_ANY_FILE && (log || database);
}

static bool fits(int file, int64_t wanted) {
    if (wanted == FAULT_SOCKET) return is_connection(file);
    if (wanted == FAULT_FOLDER) return is_folder(file);
    char link[64];
    char path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path);
    if (length <= 0) return false;
    return named(path, (size_t)length, wanted);
}

static bool looks_at(enum fault_operation operation) {
    if (slots == NULL || atomic_load(&slots[FAULT_ACTION]) == FAULT_NONE) return false;
    int64_t wanted = atomic_load(&slots[FAULT_OPERATION]);
    return wanted == FAULT_ANY_OPERATION || wanted == operation;
}

// What becomes of a call that fits: the error that it must report; 0: let it pass.
static int strike(void) {
    int64_t action = atomic_load(&slots[FAULT_ACTION]);
    atomic_fetch_add(&slots[FAULT_SEEN], 1);
    if (action == FAULT_COUNT) return 0;
    int64_t left = atomic_fetch_sub(&slots[FAULT_COUNTDOWN], 1);
    if (left > 0) return 0;
    if (action == FAULT_FAIL_ONCE && left < 0) return 0;
    atomic_fetch_add(&slots[FAULT_STRUCK], 1);
    switch (action) {
    case FAULT_FAIL_ONCE: return EIO;
    case FAULT_FULL: return ENOSPC;
    case FAULT_KILL:
        if (part.count > 0) syscall(SYS_pwrite64, part.file, part.bytes, part.count, part.offset);
        kill(getpid(), SIGKILL);
        return EIO;
    case FAULT_HOLD:
        while (atomic_load(&slots[FAULT_ACTION]) == FAULT_HOLD) usleep(1000);
        return 0;
    default: return 0;
    }
}

static int strikes(int file, enum fault_operation operation) {
    return looks_at(operation) && fits(file, atomic_load(&slots[FAULT_FILE])) ? strike() : 0;
}

static int flushed(int file, long call) {
    int error = strikes(file, FAULT_FLUSH);
    if (error != 0) {
        errno = error;
        return -1;
    }
    return (int)syscall(call, file);
}

int fsync(int file) { return flushed(file, SYS_fsync); }
int fdatasync(int file) { return flushed(file, SYS_fdatasync); }

ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t offset) {
    // One write may bring the pages of many commands: a crash leaves some of them.
    part = (struct write_part){file, bytes, count / 2, offset};
    int error = strikes(file, FAULT_WRITE);
    part.count = 0;
    if (error != 0) {
        errno = error;
        return -1;
    }
    return syscall(SYS_pwrite64, file, bytes, count, offset);
}

ssize_t pwrite(int file, const void *bytes, size_t count, off_t offset) { return pwrite64(file, bytes, count, offset); }

ssize_t write(int file, const void *bytes, size_t count) {
    int error = strikes(file, FAULT_WRITE);
    if (error != 0) {
        errno = error;
        return -1;
    }
    return syscall(SYS_write, file, bytes, count);
}

ssize_t writev(int file, const struct iovec *vectors, int count) {
    int error = strikes(file, FAULT_WRITE);
    if (error != 0) {
        errno = error;
        return -1;
    }
    return syscall(SYS_writev, file, vectors, count);
}

int rename(const char *from, const char *to) {
    int64_t wanted = slots == NULL ? FAULT_ANY_FILE : atomic_load(&slots[FAULT_FILE]);
    int error = looks_at(FAULT_RENAME) && (named(from, strlen(from), wanted) || named(to, strlen(to), wanted)) ? strike() : 0;
    if (error != 0) {
        errno = error;
        return -1;
    }
    return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}
