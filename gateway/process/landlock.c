/*
 * Landlock, by raw system calls: C libraries and headers of Debian 12 know its first two
 * versions only, kernels have more. What a kernel does not know is left out; a file rule that
 * it does know is never skipped.
 */
#include "gateway/process/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "gateway/base/log.h"

/* From the kernel's include/uapi/linux/landlock.h. */
enum {
    LL_EXECUTE = 1 << 0,
    LL_WRITE_FILE = 1 << 1,
    LL_READ_FILE = 1 << 2,
    LL_READ_DIR = 1 << 3,
    LL_REMOVE_FILE = 1 << 5,
    LL_MAKE_REG = 1 << 8,
    LL_FIRST = (1 << 13) - 1, /* all rights of version 1 */
    LL_REFER = 1 << 13,       /* 2 */
    LL_TRUNCATE = 1 << 14,    /* 3 */
    LL_IOCTL_DEV = 1 << 15,   /* 5 */
    LL_FOR_FILES = LL_EXECUTE | LL_WRITE_FILE | LL_READ_FILE | LL_TRUNCATE | LL_IOCTL_DEV,

    LL_BIND_TCP = 1 << 0,       /* 4 */
    LL_SCOPE_ABSTRACT = 1 << 0, /* 6: abstract unix sockets of others */
    LL_SCOPE_SIGNAL = 1 << 1,   /* 6: signals to others */

    LL_VERSION_FLAG = 1,
    LL_RULE_PATH_BENEATH = 1,
};

struct ll_ruleset {
    uint64_t files, net, scoped;
};

struct ll_path {
    uint64_t allowed;
    int32_t parent;
} __attribute__((packed));

/* How much of struct ll_ruleset a kernel of that version knows, and which rights of files it
 * handles. */
static const struct {
    int abi;
    size_t size;
    uint64_t files;
} ll_versions[] = {
    { 6, 24, LL_FIRST | LL_REFER | LL_TRUNCATE | LL_IOCTL_DEV },
    { 5, 16, LL_FIRST | LL_REFER | LL_TRUNCATE | LL_IOCTL_DEV },
    { 4, 16, LL_FIRST | LL_REFER | LL_TRUNCATE },
    { 3, 8, LL_FIRST | LL_REFER | LL_TRUNCATE },
    { 2, 8, LL_FIRST | LL_REFER },
    { 1, 8, LL_FIRST },
};

int sandbox_landlock_abi(void)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LL_VERSION_FLAG);
    return abi > 0 ? (int)abi : 0;
}

static uint64_t rights_of(enum file_access access)
{
    switch (access) {
    case FILES_READ:
        return LL_READ_FILE | LL_READ_DIR;
    case FILES_WRITE:
        return LL_READ_FILE | LL_READ_DIR | LL_WRITE_FILE | LL_MAKE_REG | LL_REMOVE_FILE |
               LL_TRUNCATE;
    case FILES_ALL:
    case FILES_NONE:
        break;
    }
    return 0;
}

/* A path that is not there stays closed: that is the safe side, and the log says it. */
static enum err open_path(int rules, const char *path, uint64_t rights)
{
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0) {
        log_warn("path stays closed in the sandbox", F_TEXT("path", path), F_ERRNO(errno));
        return OK;
    }
    struct stat info;
    if (fstat(fd, &info) == 0 && !S_ISDIR(info.st_mode))
        rights &= LL_FOR_FILES;
    struct ll_path beneath = { .allowed = rights, .parent = fd };
    long failed = syscall(SYS_landlock_add_rule, rules, LL_RULE_PATH_BENEATH, &beneath, 0);
    (void)close(fd);
    return failed == 0 ? OK : ERR_SYSTEM;
}

static enum err restrict_self(int rules, const struct sandbox *sandbox)
{
    uint64_t rights = rights_of(process_table[sandbox->role].access);
    for (const char *const *path = sandbox->paths; rights != 0 && path != NULL && *path != NULL;
         path++)
        TRY(open_path(rules, *path, rights));
    if (rights != 0 && sandbox->written != NULL)
        TRY(open_path(rules, sandbox->written, rights_of(FILES_WRITE)));
    return syscall(SYS_landlock_restrict_self, rules, 0) == 0 ? OK : ERR_SYSTEM;
}

enum err landlock_enter(const struct sandbox *sandbox)
{
    int abi = sandbox_landlock_abi();
    size_t version = 0;
    while (version < ARRAY_LEN(ll_versions) && ll_versions[version].abi > abi)
        version++;
    if (version == ARRAY_LEN(ll_versions)) {
        log_info("kernel has no landlock; files are kept shut by user and seccomp alone");
        return OK;
    }

    struct ll_ruleset set = { .files = ll_versions[version].files,
                              .net = LL_BIND_TCP,
                              .scoped = LL_SCOPE_ABSTRACT | LL_SCOPE_SIGNAL };
    int rules = (int)syscall(SYS_landlock_create_ruleset, &set, ll_versions[version].size, 0);
    enum err err = rules >= 0 ? restrict_self(rules, sandbox) : ERR_SYSTEM;
    if (err != OK)
        log_error("landlock failed; `server.sandbox: off` goes without", F_ERRNO(errno));
    if (rules >= 0)
        (void)close(rules);
    return err;
}
