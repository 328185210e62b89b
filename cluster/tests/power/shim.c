/* A disk that writes down what is done to it. Preloaded into a process, it appends every change of the files below
 * POWER_DIR to the journal POWER_JOURNAL, in the order in which it was made; journal.rs makes of it what a power cut would
 * have left. It changes nothing by itself, but that it syncs nothing: the journal says what would have been synced.
 *
 * With POWER_FAIL="sync:N:ERRNO" or "write:N:ERRNO" the N-th such call and all later ones fail: a disk breaks, or is full.
 * With POWER_LIES=N the disk syncs a file truly only every N-th time that it is asked to.
 * Not here: mmap, dup, O_TMPFILE. Neither store uses them. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OPENED = 1, CREATED, WRITTEN, CUT, SYNCED, FOLDER_SYNCED, RENAMED, REMOVED, FOLDER_MADE, GROWN, MARK };
#define FDS 65536

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int journal = -1;
static const char *dir;
static size_t dir_len;
static uint64_t inodes[FDS]; /* of a descriptor; 0: not ours */
static char fail_what;       /* s, w or 0 */
static long fail_at = -1, fail_errno, seen, lied;
static int lies;

#define REAL(type, name, ...) static type (*real)(__VA_ARGS__); if (!real) real = dlsym(RTLD_NEXT, name)

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("POWER_JOURNAL"), *fail = getenv("POWER_FAIL");
    dir = getenv("POWER_DIR");
    if (!path || !dir) { dir = NULL; return; }
    dir_len = strlen(dir);
    lies = getenv("POWER_LIES") ? atoi(getenv("POWER_LIES")) : 0;
    journal = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (journal < 0) _exit(99);
    if (fail && strchr(fail, ':')) {
        fail_what = fail[0];
        sscanf(strchr(fail, ':'), ":%ld:%ld", &fail_at, &fail_errno);
    }
}

/* The path below the folder, or NULL. All paths are absolute here. */
static const char *ours(const char *path) {
    if (!dir || !path || strncmp(path, dir, dir_len)) return NULL;
    return path[dir_len] == '/' ? path + dir_len + 1 : path[dir_len] ? NULL : "";
}

static void put(uint8_t kind, uint64_t inode, uint64_t at, const void *a, uint32_t a_len, const void *b, uint32_t b_len) {
    struct __attribute__((packed)) { uint8_t kind; uint64_t inode, at; uint32_t a, b; } head = {kind, inode, at, a_len, b_len};
    struct iovec parts[3] = {{&head, sizeof head}, {(void *)a, a_len}, {(void *)b, b_len}};
    size_t all = sizeof head + a_len + b_len;
    if (syscall(SYS_writev, journal, parts, 3) != (long)all) _exit(99);
}

static void put_path(uint8_t kind, uint64_t inode, const char *path) { put(kind, inode, 0, path, strlen(path), "", 0); }

static uint64_t inode_of(int fd) { return fd >= 0 && fd < FDS ? inodes[fd] : 0; }

static int fails(char what) {
    if (fail_what != what || ++seen < fail_at) return 0;
    errno = fail_errno;
    return 1;
}

static int opened(int (*open_it)(const char *, int, mode_t), const char *path, int flags, mode_t mode) {
    const char *name = ours(path);
    if (!name) return open_it(path, flags, mode);
    pthread_mutex_lock(&lock);
    int there = syscall(SYS_faccessat, AT_FDCWD, path, F_OK) == 0, writes = (flags & O_ACCMODE) != O_RDONLY;
    int fd = writes && !there && fail_what == 'w' && seen + 1 >= fail_at && fails('w') ? -1 : open_it(path, flags, mode);
    int error = errno;
    struct stat stat;
    if (fd >= 0 && fd < FDS && fstat(fd, &stat) == 0 && S_ISREG(stat.st_mode)) {
        inodes[fd] = stat.st_ino;
        put_path(there ? OPENED : CREATED, stat.st_ino, name);
        if (there && (flags & O_TRUNC)) put(CUT, stat.st_ino, 0, "", 0, "", 0);
    }
    errno = error;
    pthread_mutex_unlock(&lock);
    return fd;
}

static int open_real(const char *path, int flags, mode_t mode) { REAL(int, "open64", const char *, int, ...); return real(path, flags, mode); }
#define MODE(flags) mode_t mode = 0; if ((flags) & O_CREAT) { va_list rest; va_start(rest, flags); mode = va_arg(rest, mode_t); va_end(rest); }
int open(const char *path, int flags, ...) { MODE(flags) return opened(open_real, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return opened(open_real, path, flags, mode); }
int openat(int at, const char *path, int flags, ...) {
    MODE(flags)
    if (ours(path)) return opened(open_real, path, flags, mode);
    REAL(int, "openat64", int, const char *, int, ...);
    return real(at, path, flags, mode);
}
int openat64(int at, const char *path, int flags, ...) { MODE(flags) return openat(at, path, flags, mode); }

int close(int fd) {
    REAL(int, "close", int);
    if (fd >= 0 && fd < FDS) inodes[fd] = 0;
    return real(fd);
}

static ssize_t written(int fd, const void *data, size_t len, off_t at) {
    uint64_t inode = inode_of(fd);
    if (!inode) return -2;
    pthread_mutex_lock(&lock);
    ssize_t done = -1;
    if (!fails('w')) {
        if (at < 0) {
            struct stat stat;
            int appends = fcntl(fd, F_GETFL) & O_APPEND;
            at = appends && fstat(fd, &stat) == 0 ? stat.st_size : lseek(fd, 0, SEEK_CUR);
            done = syscall(SYS_write, fd, data, len);
        } else {
            done = syscall(SYS_pwrite64, fd, data, len, at);
        }
        int error = errno;
        if (done > 0) put(WRITTEN, inode, at, data, done, "", 0);
        errno = error;
    }
    pthread_mutex_unlock(&lock);
    return done;
}
ssize_t write(int fd, const void *data, size_t len) {
    ssize_t done = written(fd, data, len, -1);
    if (done != -2) return done;
    if (fd == 1 && journal >= 0) {
        pthread_mutex_lock(&lock);
        put(MARK, 0, 0, data, len, "", 0);
        pthread_mutex_unlock(&lock);
    }
    REAL(ssize_t, "write", int, const void *, size_t);
    return real(fd, data, len);
}
ssize_t pwrite64(int fd, const void *data, size_t len, off_t at) {
    ssize_t done = written(fd, data, len, at);
    if (done != -2) return done;
    REAL(ssize_t, "pwrite64", int, const void *, size_t, off_t);
    return real(fd, data, len, at);
}
ssize_t pwrite(int fd, const void *data, size_t len, off_t at) { return pwrite64(fd, data, len, at); }
ssize_t writev(int fd, const struct iovec *parts, int count) {
    if (inode_of(fd) && count > 0) return write(fd, parts[0].iov_base, parts[0].iov_len);
    REAL(ssize_t, "writev", int, const struct iovec *, int);
    return real(fd, parts, count);
}

static int sync_it(int fd) {
    struct stat stat;
    char link[64], path[PATH_MAX];
    if (!dir || fstat(fd, &stat)) return -2;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    if (len < 0) return -2;
    path[len] = 0;
    if (!S_ISDIR(stat.st_mode) && !inode_of(fd)) return -2;
    if (!inode_of(fd) && !ours(path)) return -2;
    pthread_mutex_lock(&lock);
    int failed = fails('s');
    if (!failed && S_ISDIR(stat.st_mode)) put_path(FOLDER_SYNCED, 0, ours(path));
    else if (!failed && !(lies && ++lied % lies)) put(SYNCED, inode_of(fd), 0, "", 0, "", 0);
    pthread_mutex_unlock(&lock);
    return failed ? -1 : 0;
}
int fsync(int fd) {
    int done = sync_it(fd);
    if (done != -2) return done;
    REAL(int, "fsync", int);
    return real(fd);
}
int fdatasync(int fd) {
    int done = sync_it(fd);
    if (done != -2) return done;
    REAL(int, "fdatasync", int);
    return real(fd);
}
/* Promises nothing after a power cut, and so it is not in the journal. */
int sync_file_range(int fd, off64_t at, off64_t len, unsigned flags) {
    if (inode_of(fd)) return 0;
    REAL(int, "sync_file_range", int, off64_t, off64_t, unsigned);
    return real(fd, at, len, flags);
}

int ftruncate64(int fd, off_t len) {
    uint64_t inode = inode_of(fd);
    if (inode) pthread_mutex_lock(&lock);
    int done = syscall(SYS_ftruncate, fd, len);
    if (inode && done == 0) put(CUT, inode, len, "", 0, "", 0);
    if (inode) pthread_mutex_unlock(&lock);
    return done;
}
int ftruncate(int fd, off_t len) { return ftruncate64(fd, len); }
int fallocate64(int fd, int mode, off_t at, off_t len) {
    uint64_t inode = inode_of(fd);
    if (inode) pthread_mutex_lock(&lock);
    int done = syscall(SYS_fallocate, fd, mode, at, len);
    if (inode && done == 0 && !(mode & FALLOC_FL_KEEP_SIZE)) put(GROWN, inode, at + len, "", 0, "", 0);
    if (inode) pthread_mutex_unlock(&lock);
    return done;
}
int fallocate(int fd, int mode, off_t at, off_t len) { return fallocate64(fd, mode, at, len); }

int rename(const char *from, const char *to) {
    REAL(int, "rename", const char *, const char *);
    if (!ours(from) || !ours(to)) return real(from, to);
    pthread_mutex_lock(&lock);
    int done = real(from, to);
    if (done == 0) put(RENAMED, 0, 0, ours(from), strlen(ours(from)), ours(to), strlen(ours(to)));
    pthread_mutex_unlock(&lock);
    return done;
}
int unlink(const char *path) {
    REAL(int, "unlink", const char *);
    if (!ours(path)) return real(path);
    pthread_mutex_lock(&lock);
    int done = real(path);
    if (done == 0) put_path(REMOVED, 0, ours(path));
    pthread_mutex_unlock(&lock);
    return done;
}
int rmdir(const char *path) {
    REAL(int, "rmdir", const char *);
    if (!ours(path)) return real(path);
    pthread_mutex_lock(&lock);
    int done = real(path);
    if (done == 0) put_path(REMOVED, 0, ours(path));
    pthread_mutex_unlock(&lock);
    return done;
}
int mkdir(const char *path, mode_t mode) {
    REAL(int, "mkdir", const char *, mode_t);
    if (!ours(path)) return real(path, mode);
    pthread_mutex_lock(&lock);
    int done = real(path, mode);
    if (done == 0) put_path(FOLDER_MADE, 0, ours(path));
    pthread_mutex_unlock(&lock);
    return done;
}
