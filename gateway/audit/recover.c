/*
 * What a crash left behind.
 *
 * The state names the last acknowledged record and where it ends. Lines behind it were written
 * by a recorder that fell before it could say so; they continue the chain, so they are told
 * from anybody else's by their MAC. They are taken over, and their leaves are remembered: the
 * rings still hold the same records. A line without an end is cut off, for its record is in the
 * rings as well, unless the whole machine fell; a gap record tells of it. Whatever else stands
 * there is left as it is, and a new segment begins behind it.
 */
#include "gateway/audit/recover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/base/log.h"

enum { WINDOW_BYTES = 1024 * 1024, RECALL_BYTES = 8 * 1024 * 1024 };

struct follow {
    struct journal *journal;
    int fd;
    uint64_t at; /* the end of the last line that was accepted */
    unsigned lines;
    bool torn, foreign;
};

static ssize_t read_at(const struct follow *follow, uint64_t at, char *to, size_t len)
{
    ssize_t got = pread(follow->fd, to, len, (off_t)at);
    return got == 0 ? spill_read(&follow->journal->spill, at, to, len) : got;
}

static bool take_line(struct follow *follow, struct span line)
{
    struct journal *journal = follow->journal;
    struct sealed sealed;
    uint8_t leaf[CHAIN_BYTES];
    if (!sealed_parse(line, &sealed) || !chain_accept(&journal->chain, &sealed, leaf))
        return false;
    roster_add(journal->roster, sealed.seq, line);
    memcpy(journal->recovered[follow->lines % RECOVERED_MAX], leaf, sizeof(leaf));
    follow->lines++;
    follow->at += line.len + 1;
    return true;
}

/* Lines of one window; false at the end, or at the first line that is not ours. */
static bool take_window(struct follow *follow, char *window)
{
    ssize_t got = read_at(follow, follow->at, window, WINDOW_BYTES);
    if (got <= 0)
        return false;
    struct span rest = span_of(window, (size_t)got);
    ssize_t end;
    bool any = false;
    while ((end = span_index(rest, '\n')) >= 0) {
        if (!take_line(follow, span_sub(rest, 0, (size_t)end))) {
            follow->foreign = true;
            return false;
        }
        any = true;
        rest = span_sub(rest, (size_t)end + 1, rest.len);
    }
    if (any || rest.len == 0)
        return true;
    /* Longer than any line can be, or the torn end. */
    follow->foreign = rest.len == WINDOW_BYTES;
    follow->torn = !follow->foreign;
    return false;
}

static size_t read_window(const struct follow *follow, uint64_t at, char *window, size_t size)
{
    size_t got = 0;
    while (got < size) {
        ssize_t more = read_at(follow, at + got, window + got, size - got);
        if (more <= 0)
            break;
        got += (size_t)more;
    }
    return got;
}

/*
 * What the last recorder had put on its roster since its last seal stands in front of the end
 * of the last line. What is not found leaves the roster broken up to the next seal.
 */
static void recall(const struct follow *follow, char *window, size_t size)
{
    struct journal *journal = follow->journal;
    uint64_t start = follow->at > size ? follow->at - size : 0;
    struct span rest, line;
    struct sealed sealed;
    if (journal->seal.state.chain.seq == journal->seal.state.sealed_seq)
        return;
    rest = span_of(window, read_window(follow, start, window, (size_t)(follow->at - start)));
    while (rest.len > 0 && span_cut(&rest, '\n', &line))
        if (sealed_parse(line, &sealed) && sealed.seq > journal->seal.state.sealed_seq)
            roster_add(journal->roster, sealed.seq, line);
}

static enum err follow_file(struct follow *follow)
{
    char *window = malloc(RECALL_BYTES);
    if (window == NULL)
        return ERR_MEMORY;
    recall(follow, window, RECALL_BYTES);
    while (take_window(follow, window))
        continue;
    free(window);
    struct journal *journal = follow->journal;
    journal->recovered_count = follow->lines < RECOVERED_MAX ? follow->lines : RECOVERED_MAX;
    journal->recovered_left = journal->recovered_count;
    journal->seal.state.chain = journal->chain;
    journal->seal.state.bytes = journal->bytes = follow->at;
    return OK;
}

static bool is_file_of(const struct seal_state *state, const struct stat *info)
{
    return info->st_ino == state->inode && info->st_dev == state->device;
}

/* The open file is the segment that the state knows. */
static enum err take_up(struct journal *journal, uint64_t now_us, uint64_t size)
{
    struct follow follow = { .journal = journal,
                             .fd = journal->sink.fd,
                             .at = journal->seal.state.bytes };
    bool fresh;
    journal->spilling = journal->spill.len > 0;
    if (size < follow.at && !journal->spilling) {
        log_error("the audit file is shorter than it was: records were removed",
                  F_INT("bytes", follow.at - size));
        TRY(journal_next_segment(journal, now_us, &fresh));
        journal_gap(journal, now_us, "file-cut", NULL);
        return OK;
    }
    TRY(follow_file(&follow));
    if (follow.torn && ftruncate(journal->sink.fd, (off_t)follow.at) != 0)
        follow.foreign = true;
    if (follow.foreign) {
        log_error("the audit file has lines that are not the recorder's",
                  F_INT("from_byte", follow.at));
        TRY(journal_next_segment(journal, now_us, &fresh));
        journal_gap(journal, now_us, "foreign-lines", NULL);
    } else if (follow.torn) {
        journal_gap(journal, now_us, "torn-line", NULL);
    }
    /* The state is saved with the next batch: who falls before it leaves the same to be
     * followed once more, and the rings' records are still known by it. */
    return follow.foreign ? seal_save(&journal->seal, SEAL_TO_FILE) : OK;
}

/* Rotation was cut short between the new name and the new file, or somebody moved it by hand
 * while nobody wrote. */
static enum err close_moved(struct journal *journal, uint64_t now_us)
{
    struct seal_state *state = &journal->seal.state;
    char name[SEAL_PATH_MAX];
    struct text text = text_fixed(name, sizeof(name));
    struct stat info;
    struct follow follow = { .journal = journal, .fd = -1, .at = state->bytes };
    if (segment_name(&text, journal->conf.path, state->segment))
        follow.fd = open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (follow.fd >= 0 && fstat(follow.fd, &info) == 0 && is_file_of(state, &info))
        TRY(follow_file(&follow));
    if (follow.fd >= 0)
        (void)close(follow.fd);
    journal->rotated = true;
    return seal_line(&journal->seal, SEAL_CLOSE, state->segment, state->bytes, now_us);
}

/* Somebody else's lines before ours: a half one must not run into the first of ours. */
static enum err end_line(int fd, uint64_t size)
{
    char last = '\n';
    if (size == 0)
        return OK;
    if (pread(fd, &last, 1, (off_t)size - 1) != 1)
        return ERR_READ;
    return last == '\n' || write(fd, "\n", 1) == 1 ? OK : ERR_WRITE;
}

enum err journal_recover(struct journal *journal, uint64_t now_us)
{
    struct stat info;
    bool fresh;
    if (fstat(journal->sink.fd, &info) != 0)
        return ERR_SYSTEM;
    if (!journal->seal.fresh && is_file_of(&journal->seal.state, &info))
        return take_up(journal, now_us, (uint64_t)info.st_size);
    if (!journal->seal.fresh && journal->seal.state.segment > 0)
        TRY(close_moved(journal, now_us));
    TRY(end_line(journal->sink.fd, (uint64_t)info.st_size));
    TRY(journal_next_segment(journal, now_us, &fresh));
    /* What waits in the spill was promised to a file that is gone. */
    journal->spill.base = journal->bytes;
    journal->spilling = journal->spill.len > 0;
    journal->bytes += journal->spill.len;
    if (!fresh && journal->seal.fresh)
        log_info("the audit file has older lines; they are not sealed");
    return OK;
}
