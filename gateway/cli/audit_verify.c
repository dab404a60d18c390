/*
 * `sallyport audit verify` and `export`: what proves, and what is proved.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <unistd.h>

#include "gateway/audit/evidence.h"
#include "gateway/audit/verify.h"
#include "gateway/base/clock.h"
#include "gateway/base/json.h"
#include "gateway/cli/audit.h"
#include "gateway/cli/clean.h"

enum { EXPORT_MODE = 0600 };

static void print_json(const struct verify *verify)
{
    struct text out = text_growing(verify->arena, OUTPUT_BYTES);
    struct json j = json_writer(&out);
    json_begin_object(&j, NULL);
    json_bool(&j, "good", verify->count == 0);
    json_uint(&j, "records", verify->records);
    json_uint(&j, "hidden", verify->hidden);
    json_uint(&j, "seals", verify->seals);
    json_uint(&j, "segments", verify->segments);
    json_uint(&j, "unsealed", verify->unsealed);
    json_uint(&j, "older_lines", verify->older_lines);
    json_uint(&j, "pruned_segments", verify->pruned);
    json_uint(&j, "reserved_bytes", verify->reserved_bytes);
    json_text(&j, "key", span_text(verify->key));
    if (verify->query.p != NULL) {
        json_begin_object(&j, "evidence");
        json_text(&j, "query", verify->query);
        json_bool(&j, "complete", verify->complete);
        json_text(&j, "sealed_until", verify->to);
        json_uint(&j, "beside", verify->beside);
        json_uint(&j, "not_proven", verify->unproven);
        json_uint(&j, "without_roster", verify->unknown);
        json_uint(&j, "pruned_records", verify->pruned_records);
        json_end_object(&j);
    }
    json_begin_array(&j, "problems");
    for (unsigned i = 0; i < verify->count; i++) {
        const struct verify_problem *problem = &verify->problems[i];
        json_begin_object(&j, NULL);
        json_text(&j, "kind", span_text(verify_kind_name(problem->kind)));
        if (problem->file != NULL)
            json_text(&j, "file", span_text(problem->file));
        json_uint(&j, "seq", problem->seq);
        json_text(&j, "text", span_text(problem->text));
        json_end_object(&j);
    }
    json_end_array(&j);
    json_uint(&j, "suppressed", verify->suppressed);
    json_end_object(&j);
    text_char(&out, '\n');
    (void)print_all(STDOUT_FILENO, text_span(&out));
}

static void print_human(const struct verify *verify)
{
    for (unsigned i = 0; i < verify->count; i++) {
        const struct verify_problem *problem = &verify->problems[i];
        (void)printf("%-10s %llu%s%s: %s\n", verify_kind_name(problem->kind),
                     (unsigned long long)problem->seq, problem->file != NULL ? " in " : "",
                     problem->file != NULL ? problem->file : "", problem->text);
    }
    if (verify->suppressed > 0)
        (void)printf("and %llu more\n", (unsigned long long)verify->suppressed);
    (void)printf("%s: %llu records, %llu seals, begun by key %s\n",
                 verify->count == 0 ? "whole" : "NOT whole",
                 (unsigned long long)verify->records, (unsigned long long)verify->seals,
                 verify->key);
    const struct {
        uint64_t count;
        const char *text;
    } notes[] = {
        { verify->hidden, "records between them are not shown" },
        { verify->unsealed, "records stand behind the last checkpoint" },
        { verify->older_lines, "lines are older than the chain, and not sealed" },
        { verify->pruned, "segments were deleted by audit.keep, as the seals say" },
        { verify->reserved_bytes, "bytes wait in the reserve for room on the disk" },
    };
    for (size_t i = 0; i < ARRAY_LEN(notes); i++)
        if (notes[i].count > 0)
            (void)printf("  %llu %s\n", (unsigned long long)notes[i].count, notes[i].text);
}

/* Whether what answers the query is all here. */
static void print_evidence(const struct verify *verify)
{
    char shown[512];
    struct text query = text_fixed(shown, sizeof(shown));
    text_add(&query, span_sub(verify->query, 0, sizeof(shown) - 1));
    if (text_cstring(&query) == NULL)
        return;
    clean_text(shown);
    (void)printf("asked for: %s\n", shown);
    if (verify->complete)
        (void)printf("complete: of the records sealed up to %.*s every one that answers is "
                     "shown\n",
                     (int)verify->to.len, verify->to.p);
    else
        (void)printf("NOT proven that nothing was left out\n");
    const struct {
        uint64_t count;
        const char *text;
    } notes[] = {
        { verify->beside, "of them are of another time, and were sealed with the others" },
        { verify->unproven, "have the values asked for, and are not shown: no roster knows "
                            "paths, prefixes of addresses, or classes of statuses" },
        { verify->unknown, "records stand where a seal has no roster" },
        { verify->pruned_records,
          "records were deleted by audit.keep before, as the seals say" },
    };
    for (size_t i = 0; i < ARRAY_LEN(notes); i++)
        if (notes[i].count > 0)
            (void)printf("  %llu %s\n", (unsigned long long)notes[i].count, notes[i].text);
    if (!verify->proves)
        (void)printf("  its terms are none that rosters know\n");
}

int audit_verify(struct audit_command *command)
{
    struct verify *verify = arena_new(command->arena, struct verify);
    const struct arguments *arguments = command->arguments;
    const char *pinned = arguments->values[FLAG_KEY];
    const char *evidence = arguments->operand_count > 1 ? arguments->operands[1] : NULL;
    if (verify == NULL)
        return EXIT_TROUBLE;
    if (evidence != NULL && !evidence_is(evidence))
        return usage_error("%s is not what `audit export` makes; a log is named by --file",
                           evidence);
    enum err err = evidence != NULL ? verify_evidence(verify, evidence, pinned, command->arena)
                                    : verify_log(verify, command->path, pinned, command->arena);
    if (err != OK) {
        (void)usage_error("cannot verify %s: %s", evidence != NULL ? evidence : command->path,
                          err_text(err));
        return EXIT_TROUBLE;
    }
    if (command->json)
        print_json(verify);
    else
        print_human(verify);
    if (!command->json && evidence != NULL)
        print_evidence(verify);
    return verify->count == 0 ? EXIT_GOOD : EXIT_TROUBLE;
}

/* ---- export ---- */

static bool write_piece(void *context, struct span bytes)
{
    const int *fd = context;
    return print_all(*fd, bytes);
}

/* The terms as they were given, times as moments. */
static struct span terms_of(const struct audit_command *command)
{
    const struct arguments *arguments = command->arguments;
    json_t *terms = json_array();
    int failed = terms == NULL;
    for (unsigned i = 1; i < arguments->operand_count; i++) {
        char moment[64];
        const char *term = arguments->operands[i];
        struct text text = text_fixed(moment, sizeof(moment));
        bool since = span_starts(span_text(term), SPAN("since="));
        if (since || span_starts(span_text(term), SPAN("until="))) {
            text_add(&text, span_sub(span_text(term), 0, sizeof("since=") - 1));
            clock_write_iso(&text, since ? command->query.since_us : command->query.until_us);
            term = text_cstring(&text);
        }
        failed |= json_array_append_new(terms, json_string(term)); /* no UTF-8: NULL */
    }
    char *dumped = failed ? NULL : json_dumps(terms, JSON_COMPACT | JSON_ENSURE_ASCII);
    struct span copy =
        dumped != NULL ? arena_copy(command->arena, span_text(dumped)) : span_of(NULL, 0);
    free(dumped);
    json_decref(terms);
    return copy;
}

int audit_export(struct audit_command *command)
{
    const struct span terms = terms_of(command);
    if (command->query.limit > 0)
        return usage_error("`audit export` takes no limit: it shows that nothing is missing");
    if (terms.len == 0)
        return usage_error("the terms are no UTF-8");
    const char *to = command->arguments->values[FLAG_TO];
    int fd = STDOUT_FILENO;
    struct evidence_result result;
    if (to != NULL)
        fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, EXPORT_MODE);
    if (fd < 0) {
        (void)usage_error("cannot make %s: %s", to, strerrordesc_np(errno));
        return EXIT_TROUBLE;
    }
    const struct evidence_sink sink = { .write = write_piece, .context = &fd };
    enum err err =
        evidence_export(command->path, &command->query, terms, &sink, command->arena, &result);
    if (to != NULL && close(fd) != 0 && err == OK)
        err = ERR_WRITE;
    if (err != OK) {
        (void)usage_error("cannot export from %s: %s%s", command->path, err_text(err),
                          err == ERR_SYNTAX ? " (does `audit verify` find it whole?)" : "");
        return EXIT_TROUBLE;
    }
    (void)fprintf(stderr, "%llu records, and the leaves of %llu others\n",
                  (unsigned long long)result.records, (unsigned long long)result.hidden);
    if (!result.complete)
        (void)fprintf(stderr, "it does not prove that nothing was left out%s\n",
                      result.unknown > 0 ? ": a seal has no roster"
                                         : ": rosters know addresses, ids, users, rules, "
                                           "reasons, actions, statuses and hosts");
    if (result.unsealed > 0)
        (void)fprintf(stderr,
                      "%llu more are not sealed yet and were left out: the next checkpoint "
                      "comes within 10 seconds\n",
                      (unsigned long long)result.unsealed);
    return EXIT_GOOD;
}
