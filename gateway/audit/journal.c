/*
 * Writing: lines, batches, checkpoints, rotation. What stood there before is recover.c's.
 */
#include "gateway/audit/journal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/audit/recover.h"
#include "gateway/base/clock.h"
#include "gateway/base/log.h"

enum { GAP_BYTES = 1024 };
enum {
    CHECKPOINT_US = 10 * 1000 * 1000,
    ROTATE_RETRY_US = 60 * 1000 * 1000,
    LOOK_US = 200 * 1000
};

bool segment_name(struct text *out, const char *path, uint64_t segment)
{
    text_format(out, "%s.%06llu", path, (unsigned long long)segment);
    return text_cstring(out) != NULL;
}

/* ---- lines ---- */

/* Once each: a ring may bring what its former recorder had written, but not yet released. */
static bool was_recovered(struct journal *journal, struct span line)
{
    uint8_t leaf[CHAIN_BYTES];
    if (journal->recovered_left == 0 || line.len < 2)
        return false;
    chain_leaf(span_sub(line, 0, line.len - 2), leaf);
    for (unsigned i = 0; i < journal->recovered_count; i++) {
        if (memcmp(journal->recovered[i], leaf, sizeof(leaf)) != 0)
            continue;
        memset(journal->recovered[i], 0, sizeof(leaf));
        journal->recovered_left--;
        return true;
    }
    return false;
}

enum err journal_line(struct journal *journal, struct span line)
{
    if (line.len > sizeof(journal->line))
        return ERR_SYNTAX;
    /*
     * From here on a copy of ours: the line stands in memory that a hostile worker may write
     * while we look, and a line end in it would let that worker speak for others.
     */
    memcpy(journal->line, line.p, line.len);
    line.p = journal->line;
    if (memchr(line.p, '\n', line.len) != NULL || memchr(line.p, '\r', line.len) != NULL)
        return ERR_SYNTAX;
    if (was_recovered(journal, line))
        return OK;

    struct text out = sink_room(&journal->sink);
    if (out.size < line.len + CHAIN_SUFFIX_MAX + 1)
        return ERR_LIMIT;
    if (journal->conf.path == NULL)
        text_add(&out, line);
    else if (!chain_seal(&journal->chain, line, &out))
        return ERR_SYNTAX;
    if (journal->roster != NULL)
        roster_add(journal->roster, journal->chain.seq, line);
    text_char(&out, '\n');
    sink_add(&journal->sink, out.len);
    journal->bytes += out.len;
    return OK;
}

void journal_gap(struct journal *journal, uint64_t now_us, const char *reason,
                 const uint64_t lost[RECORD_CLASSES])
{
    static const uint64_t unknown[RECORD_CLASSES];
    char buffer[GAP_BYTES];
    struct text line = text_fixed(buffer, sizeof(buffer));
    record_gap(&line, now_us, reason, lost != NULL ? lost : unknown);
    if (journal_line(journal, text_span(&line)) != OK)
        log_error("a gap record could not be written", F_TEXT("gap", reason));
}

/* ---- batches ---- */

static enum err to_spill(struct journal *journal)
{
    struct span rest = sink_rest(&journal->sink);
    uint64_t base = journal->bytes - rest.len;
    if (rest.len == 0)
        return OK;
    TRY(spill_add(&journal->spill, base, rest));
    sink_forget(&journal->sink);
    if (!journal->spilling)
        log_warn("audit records go to the reserved file until there is room again",
                 F_TEXT("file", journal->conf.path));
    journal->spilling = true;
    return OK;
}

static enum err write_batch(struct journal *journal)
{
    if (journal->spilling)
        return to_spill(journal);
    enum err err = sink_flush(&journal->sink);
    return err == OK || journal->spill.fd < 0 ? err : to_spill(journal);
}

enum err journal_flush(struct journal *journal)
{
    bool something = sink_rest(&journal->sink).len > 0;
    enum err err = write_batch(journal);
    if (err == OK && something && journal->conf.sync &&
        fdatasync(journal->spilling ? journal->spill.fd : journal->sink.fd) != 0 &&
        errno != EINVAL && errno != EROFS) /* a pipe cannot be synced */
        err = ERR_WRITE;
    journal->stuck = err != OK;
    if (err != OK || !something || journal->conf.path == NULL)
        return err;
    journal->seal.state.chain = journal->chain;
    journal->seal.state.bytes = journal->bytes;
    return seal_save(&journal->seal, SEAL_TO_MEMORY);
}

/* ---- seals and segments ---- */

static enum seal_depth depth(const struct journal *journal)
{
    return journal->conf.sync ? SEAL_TO_DISK : SEAL_TO_FILE;
}

static void checkpoint(struct journal *journal, uint64_t now_us)
{
    struct seal *seal = &journal->seal;
    enum err err =
        seal_line(seal, SEAL_CHECKPOINT, seal->state.segment, seal->state.bytes, now_us);
    if (err == OK)
        err = seal_save(seal, depth(journal));
    if (err != OK) { /* the next one covers what this one would have */
        seal->state.sealed_us = now_us;
        log_warn("a checkpoint could not be written; trying again", F_ERR(err));
    }
}

enum err journal_next_segment(struct journal *journal, uint64_t now_us, bool *fresh)
{
    struct seal_state *state = &journal->seal.state;
    struct stat info;
    if (fstat(journal->sink.fd, &info) != 0)
        return ERR_SYSTEM;
    state->segment++;
    state->segment_first = state->chain.seq + 1;
    state->segment_began_us = now_us;
    state->device = info.st_dev;
    state->inode = info.st_ino;
    state->bytes = journal->bytes = (uint64_t)info.st_size;
    *fresh = info.st_size == 0;
    TRY(seal_line(&journal->seal, SEAL_OPEN, state->segment, state->bytes, now_us));
    return seal_save(&journal->seal, SEAL_TO_DISK);
}

static enum err rotate(struct journal *journal, uint64_t now_us)
{
    struct seal_state *state = &journal->seal.state;
    char name[SEAL_PATH_MAX];
    struct text text = text_fixed(name, sizeof(name));
    bool fresh;
    if (!segment_name(&text, journal->conf.path, state->segment))
        return ERR_LIMIT;
    /* Never over another file: a segment of the same number would be an older chain's. */
    if (access(name, F_OK) == 0)
        return ERR_DUPLICATE;
    TRY(seal_line(&journal->seal, SEAL_CLOSE, state->segment, state->bytes, now_us));
    enum err err = rename(journal->conf.path, name) == 0 ? OK : ERR_WRITE;
    if (err == OK) {
        err = sink_reopen(&journal->sink);
        if (err != OK && rename(name, journal->conf.path) != 0)
            log_error("the audit file keeps its new name", F_TEXT("file", name));
    }
    /* Without a new file the next segment begins in the old one. */
    journal->rotated = err == OK;
    enum err opened = journal_next_segment(journal, now_us, &fresh);
    return err == OK ? opened : err;
}

/* Whether the path still names the file that is written. */
static bool is_in_place(const struct journal *journal)
{
    const struct seal_state *state = &journal->seal.state;
    struct stat info;
    return stat(journal->conf.path, &info) == 0 && info.st_ino == state->inode &&
           info.st_dev == state->device;
}

static bool wants_rotation(const struct journal *journal, uint64_t now_us)
{
    const struct journal_conf *conf = &journal->conf;
    const struct seal_state *state = &journal->seal.state;
    if (now_us < journal->rotate_again_us || state->chain.seq < state->segment_first)
        return false;
    return (conf->rotate_bytes > 0 && state->bytes >= conf->rotate_bytes) ||
           (conf->rotate_us > 0 && now_us - state->segment_began_us >= conf->rotate_us);
}

static void drain_spill(struct journal *journal, uint64_t now_us)
{
    if (now_us < journal->look_again_us)
        return;
    journal->look_again_us = now_us + LOOK_US;
    if (spill_drain(&journal->spill, journal->sink.fd) != OK)
        return;
    journal->spilling = false;
    journal->sink.failing = false;
    log_info("audit records are written to their file again");
}

void journal_tick(struct journal *journal, uint64_t now_us)
{
    const struct seal_state *state = &journal->seal.state;
    if (journal->conf.path == NULL)
        return;
    if (journal->spilling)
        drain_spill(journal, now_us);
    if (journal->spilling || sink_rest(&journal->sink).len > 0)
        return;
    uint64_t unsealed = state->chain.seq - state->sealed_seq;
    if (unsealed >= CHECKPOINT_RECORDS ||
        (unsealed > 0 && now_us - state->sealed_us >= CHECKPOINT_US))
        checkpoint(journal, now_us);
    if (!wants_rotation(journal, now_us))
        return;
    /* Who moved the file is about to say so by SIGUSR1: what has its name now, if anything, is
     * not to be moved on as if it were ours. */
    enum err err =
        is_in_place(journal) ? rotate(journal, now_us) : journal_reopen(journal, now_us);
    if (err != OK) {
        journal->rotate_again_us = now_us + ROTATE_RETRY_US;
        log_error("the audit file cannot be rotated: its folder must be writable for "
                  "server.user",
                  F_TEXT("file", journal->conf.path), F_ERR(err));
    }
}

/* ---- opening and closing ---- */

/* A device or a pipe has no end to go on from. */
static bool is_regular(int fd)
{
    struct stat info;
    return fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
}

enum err journal_open(struct journal *journal, const struct journal_conf *conf,
                      struct seal_memory *memory, uint64_t now_us)
{
    memset(journal, 0, sizeof(*journal));
    journal->conf = *conf;
    journal->seal.fd = journal->seal.state_fd = journal->spill.fd = -1;
    TRY(chain_init());
    TRY(sink_open(&journal->sink, conf->path));
    if (conf->path == NULL || !is_regular(journal->sink.fd)) {
        journal->conf.path = NULL;
        return OK;
    }
    enum err err = seal_open(&journal->seal, conf->path, memory, now_us);
    if (err != OK) {
        sink_close(&journal->sink);
        return err;
    }
    journal->recovered = calloc(RECOVERED_MAX, CHAIN_BYTES);
    journal->roster = malloc(sizeof(*journal->roster));
    if (journal->recovered == NULL || journal->roster == NULL)
        return ERR_MEMORY;
    roster_begin(journal->roster, journal->seal.state.sealed_seq + 1);
    journal->seal.roster = journal->roster;
    spill_open(&journal->spill, conf->path, conf->spill_bytes);
    journal->chain = journal->seal.state.chain;
    journal->bytes = journal->seal.state.bytes;
    memcpy(journal->opened_head, journal->chain.head, sizeof(journal->opened_head));
    return journal_recover(journal, now_us);
}

enum err journal_reopen(struct journal *journal, uint64_t now_us)
{
    bool fresh;
    enum err flushed = journal_flush(journal);
    if (journal->conf.path == NULL)
        return sink_reopen(&journal->sink);
    const struct seal_state *state = &journal->seal.state;
    if (is_in_place(journal))
        return OK;
    if (journal->spilling || flushed != OK) /* the old file has to be completed first */
        return ERR_BUSY;
    TRY(sink_reopen(&journal->sink));
    TRY(seal_line(&journal->seal, SEAL_CLOSE, state->segment, state->bytes, now_us));
    return journal_next_segment(journal, now_us, &fresh);
}

void journal_close(struct journal *journal, uint64_t now_us)
{
    if (journal_flush(journal) != OK)
        log_error("audit records were lost at the end",
                  F_INT("bytes", sink_rest(&journal->sink).len));
    sink_forget(&journal->sink);
    if (journal->conf.path != NULL) {
        if (journal->seal.state.chain.seq != journal->seal.state.sealed_seq &&
            !journal->spilling)
            checkpoint(journal, now_us);
        if (seal_save(&journal->seal, SEAL_TO_DISK) != OK)
            log_warn("the state of the audit chain could not be saved");
        seal_close(&journal->seal);
    }
    spill_close(&journal->spill);
    sink_close(&journal->sink);
    free(journal->recovered);
    free(journal->roster);
    journal->recovered = NULL;
    journal->roster = NULL;
}
