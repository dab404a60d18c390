/*
 * What is in each block of a complete segment: its times, its numbers, and a Bloom filter over
 * the values that one searches for. A search reads the blocks that may hold an answer and no
 * other, so that gigabytes are answered in the time that a few megabytes take.
 *
 * The index proves nothing and is believed in nothing but where to look; it can be made anew
 * from the segment. It is made when the segment is compressed.
 */
#ifndef SALLYPORT_BLOCKS_H
#define SALLYPORT_BLOCKS_H

#include "gateway/base/text.h"

enum {
    BLOCK_TEXT_BYTES = 1024 * 1024, /* of lines, about */
    BLOOM_BITS = 64 * 1024,
    BLOOM_HASHES = 6,
};

enum block_key {
    KEY_CLIENT,
    KEY_ID,
    KEY_USER,
    KEY_RULE,
    KEY_REASON,
    KEY_STATUS,
    KEY_ACTION,
    KEY_HOST,
    KEY_COUNT
};

struct block {
    uint64_t offset, len; /* in the segment's file, as it stands */
    uint64_t first_us, last_us;
    uint64_t first_seq, last_seq;
    uint64_t bloom[BLOOM_BITS / 64];
};

struct block_header {
    uint64_t magic, segment_bytes;
};

void block_begin(struct block *block, uint64_t offset);
/* One line, which begins at `offset` of the text, is a part of the block. */
void block_line(struct block *block, struct span line);
bool block_may_have(const struct block *block, enum block_key key, struct span value);
/* Of paths: whether one may begin so, by as much of it as is looked at. */
bool block_may_begin(const struct block *block, struct span path);
/* The hash of a value, the same everywhere: nothing secret is in it. */
uint64_t block_tag(enum block_key key, struct span value);

/* Values of a line, found without parsing it whole: quotes inside of strings are escaped, so a
 * member's name with its quotes stands nowhere else. `next`: the next value of the key (rules),
 * from `*at` on; begin with 0. */
MUST_USE bool line_value(struct span line, enum block_key key, size_t *at, struct span *value);
/* All that line_value finds, for every key, in the order of the line and in one pass. */
struct line_walk {
    struct span line;
    size_t at, rules_from;
    unsigned seen; /* bits of keys */
};
MUST_USE bool line_walk_next(struct line_walk *walk, enum block_key *key, struct span *value);
/* The string or number behind `name`, a member with quotes and colon, anywhere in the line. */
MUST_USE bool line_member(struct span line, struct span name, struct span *value);
/* Microseconds of its @timestamp; 0: none. */
uint64_t line_time(struct span line);
/* 2027-01-14T09:12:41.503Z, as lines have it; false otherwise. */
MUST_USE bool time_parse(struct span text, uint64_t *us);

MUST_USE enum err block_header_write(int fd, uint64_t segment_bytes);
MUST_USE enum err block_append(int fd, const struct block *block);
/* Maps an index for reading; ERR_SYNTAX when it is not one of a segment of that size. */
struct block_index {
    const struct block *blocks;
    size_t count;
    void *map;
    size_t map_len;
};
MUST_USE enum err block_index_open(struct block_index *index, const char *path,
                                   uint64_t segment_bytes);
void block_index_close(struct block_index *index);

#endif
