/*
 * `sallyport audit verify` and `export`: what proves, and what is proved.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "gateway/audit/evidence.h"
#include "gateway/audit/verify.h"
#include "gateway/base/json.h"
#include "gateway/cli/audit.h"

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
    return verify->count == 0 ? EXIT_GOOD : EXIT_TROUBLE;
}

/* ---- export ---- */

static bool write_piece(void *context, struct span bytes)
{
    const int *fd = context;
    return print_all(*fd, bytes);
}

int audit_export(struct audit_command *command)
{
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
    enum err err = evidence_export(command->path, &command->query, command->described, &sink,
                                   command->arena, &result);
    if (to != NULL && close(fd) != 0 && err == OK)
        err = ERR_WRITE;
    if (err != OK) {
        (void)usage_error("cannot export from %s: %s%s", command->path, err_text(err),
                          err == ERR_SYNTAX ? " (does `audit verify` find it whole?)" : "");
        return EXIT_TROUBLE;
    }
    (void)fprintf(stderr, "%llu records, and the leaves of %llu others\n",
                  (unsigned long long)result.records, (unsigned long long)result.hidden);
    if (result.unsealed > 0)
        (void)fprintf(stderr,
                      "%llu more are not sealed yet and were left out: the next checkpoint "
                      "comes within 10 seconds\n",
                      (unsigned long long)result.unsealed);
    return EXIT_GOOD;
}
