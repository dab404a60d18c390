/* The rows of `audit:`: what is recorded, how surely, for how long; and captures. */
#include "conf/schema.h"
#include "gateway/audit/capture.h"
#include "gateway/load_rows.h"

#define DAY_MS (24LL * 3600 * 1000)
#define MIB (1024LL * 1024)
#define GIB (1024LL * 1024 * 1024)

static const struct choice durability_choices[] = {
    { "buffered", DURABILITY_BUFFERED,
      "Decisions are in shared memory before they are answered: no process but the master can "
      "lose them." },
    { "write", DURABILITY_WRITE, "They are in the file before they are answered." },
    { "sync", DURABILITY_SYNC, "They are on the disk before they are answered." },
    { NULL, 0, NULL },
};
static const struct choice on_full_choices[] = {
    { "drop-low", ON_FULL_DROP_LOW, "Forwarded requests go unrecorded, and are counted." },
    { "block", ON_FULL_BLOCK, "New requests wait until there is room." },
    { "fail-closed", ON_FULL_FAIL_CLOSED, "New requests are refused until there is room." },
    { NULL, 0, NULL },
};

/* ---- checks ---- */

uint32_t audit_record_bit(struct span name)
{
    static const struct {
        struct span name;
        uint32_t bit;
    } names[] = {
        { SPAN_INIT("all"), AUDIT_ALL },           { SPAN_INIT("blocked"), AUDIT_BLOCKED },
        { SPAN_INIT("detected"), AUDIT_DETECTED }, { SPAN_INIT("limited"), AUDIT_LIMITED },
        { SPAN_INIT("auth"), AUDIT_AUTH },         { SPAN_INIT("admin"), AUDIT_ADMIN },
    };

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (span_equal(name, names[i].name))
            return names[i].bit;
    }
    return 0;
}

static void check_record(const void *field, struct complaint *complaint)
{
    const struct texts *texts = field;

    for (size_t i = 0; i < texts->count; i++) {
        if (audit_record_bit(texts->items[i]) == 0)
            complain(complaint, SEVERITY_ERROR,
                     "\"%.*s\" is none of all, blocked, detected, limited, auth, admin",
                     (int)texts->items[i].len, texts->items[i].p);
    }
}

/* ---- rows ---- */

static const struct option redact_rows[] = {
    OPTION_NAMED("fields", struct top_conf, audit.redact.fields, OPT_TEXTS,
                 .fallback =
                     "password, passwd, pwd, *secret*, *token*, api_key, apikey, access_key",
                 .help = "Parameters whose values are replaced by a keyed pseudonym; `*` at "
                         "either end matches any run."),
    OPTIONS_END,
};

static const struct option rotate_rows[] = {
    OPTION_NAMED("size", struct top_conf, audit.rotate.size, OPT_SIZE, .fallback = "256MiB",
                 .max = 1024 * GIB, .flags = OPTION_SHORTHAND,
                 .help = "A file of this size is complete, and another begins; 0: never."),
    OPTION_NAMED("every", struct top_conf, audit.rotate.every, OPT_DURATION, .fallback = "0s",
                 .max = 366 * DAY_MS, .help = "So is one of this age; 0s: never."),
    OPTION_NAMED("compress", struct top_conf, audit.rotate.compress, OPT_BOOL,
                 .fallback = "true", .help = "Complete files are compressed by zstd."),
    OPTIONS_END,
};

static const struct option keep_rows[] = {
    OPTION_NAMED("age", struct top_conf, audit.keep.age, OPT_DURATION, .fallback = "0s",
                 .max = 36600 * DAY_MS,
                 .help = "Complete files that are older are deleted; 0s: never."),
    OPTION_NAMED("size", struct top_conf, audit.keep.size, OPT_SIZE, .fallback = "0",
                 .max = 1024 * 1024 * GIB,
                 .help =
                     "Over this size in sum the oldest complete ones are deleted; 0: never."),
    OPTIONS_END,
};

static void check_capture_key(const void *field, struct complaint *complaint)
{
    const struct span *text = field;
    uint8_t key[CAPTURE_KEY_BYTES];
    if (text->len > 0 && !capture_key_read(*text, key))
        complain(complaint, SEVERITY_ERROR,
                 "this is no public key: `sallyport capture key` makes a pair");
}

static const struct option capture_rows[] = {
    OPTION_NAMED("key", struct top_conf, audit.capture.key, OPT_TEXT, .flags = OPTION_SHORTHAND,
                 .check = check_capture_key,
                 .example = "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo",
                 .help = "Public key that captures are sealed to (`sallyport capture key`). "
                         "Without it nothing is captured."),
    OPTION_NAMED("of", struct top_conf, audit.capture.of, OPT_TEXTS, .check = check_record,
                 .fallback = "blocked, detected",
                 .help = "Which transactions: any of all, blocked, detected, limited, auth."),
    OPTION_NAMED("sample", struct top_conf, audit.capture.sample, OPT_INT, .fallback = "0",
                 .max = 1000000000, .help = "And one in so many of all transactions; 0: none."),
    OPTION_NAMED("rate", struct top_conf, audit.capture.rate, OPT_INT, .fallback = "20",
                 .min = 1, .max = 100000,
                 .help = "Of one worker in one second, at most; a flood is not kept whole."),
    OPTION_NAMED("body", struct top_conf, audit.capture.body, OPT_SIZE, .fallback = "64KiB",
                 .max = CAPTURE_BODY_MAX,
                 .help = "Bytes of a body that are kept. What was cut cannot be replayed "
                         "beyond the cut."),
    OPTION_NAMED("size", struct top_conf, audit.capture.size, OPT_SIZE, .fallback = "256MiB",
                 .min = 8 * MIB, .max = 1024 * GIB,
                 .help = "Of all captures that are kept; over it the oldest are deleted."),
    OPTIONS_END,
};

const struct option audit_rows[] = {
    OPTION_NAMED("mode", struct top_conf, audit.mode, OPT_ENUM, .fallback = "on",
                 .choices = switch_choices, .help = "Whether records are written."),
    OPTION_NAMED("file", struct top_conf, audit.file, OPT_FILE,
                 .help = "JSON lines are appended here. Without it: standard output."),
    OPTION_NAMED(
        "record", struct top_conf, audit.record, OPT_TEXTS, .check = check_record,
        .fallback = "blocked, detected, limited, auth, admin",
        .help = "Which transactions: any of all, blocked, detected, limited, auth, admin."),
    OPTION_NAMED("durability", struct top_conf, audit.durability, OPT_ENUM,
                 .fallback = "buffered", .choices = durability_choices,
                 .help = "How far the record of a refusal or another answer of the gateway's "
                         "own has come before that answer is sent."),
    OPTION_NAMED("on_full", struct top_conf, audit.on_full, OPT_ENUM, .fallback = "drop-low",
                 .choices = on_full_choices,
                 .help = "What gives way when records cannot be written."),
    OPTION_NAMED("reserve", struct top_conf, audit.reserve, OPT_SIZE, .fallback = "16MiB",
                 .max = 64 * GIB,
                 .help = "Set aside beside the file for when the disk is full; 0: nothing."),
    OPTION_NAMED(
        "flood", struct top_conf, audit.flood, OPT_INT, .fallback = "50", .max = 1000000,
        .help = "Refusals that are alike (client, reason, rule, route) recorded one by "
                "one in a second; more are counted in one line. 0, or `record: all`: "
                "each has its own."),
    { .name = "rotate",
      .kind = OPT_OBJECT,
      .options = rotate_rows,
      .help = "When a file is complete." },
    { .name = "keep",
      .kind = OPT_OBJECT,
      .options = keep_rows,
      .help = "When complete files are deleted." },
    { .name = "capture",
      .kind = OPT_OBJECT,
      .options = capture_rows,
      .help =
          "Requests kept whole and sealed, beside the audit file, for `replay` and `diff`." },
    { .name = "redact",
      .kind = OPT_OBJECT,
      .options = redact_rows,
      .help = "What never reaches a record." },
    OPTIONS_END,
};
