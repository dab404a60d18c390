/*
 * The verb `tune`: kinds of false positives out of the log, an exclusion for each that may have
 * one, and what it would change.
 */
#include "gateway/cli/tune.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "gateway/audit/search.h"
#include "gateway/base/clock.h"
#include "gateway/base/file.h"
#include "gateway/cli/explain.h"

enum { CONFIG_BYTES_MAX = 4 * 1024 * 1024, TUNE_OFFERS_MAX = 20, DEFAULT_DAYS = 7 };

struct tuning {
    struct arena arena;
    struct tune_groups groups;
    struct captured_list captures;
    const char *config, *audit;
    char trial[4096]; /* the candidate, beside the configuration */
    uint64_t now_s;
    bool apply, json;
};
static struct tuning tuning;

/* ---- the log ---- */

static bool take_line(void *context, struct span line)
{
    (void)context;
    json_t *record = json_loadb(line.p, line.len, JSON_ALLOW_NUL, NULL);
    if (record != NULL)
        tune_add(&tuning.groups, record);
    json_decref(record);
    return true;
}

static int read_log(const struct arguments *arguments)
{
    struct query query = { .limit = 0 };
    struct search_stats stats;
    uint64_t now_us = tuning.now_s * 1000000u;
    query.since_us = now_us - (uint64_t)DEFAULT_DAYS * 86400 * 1000000;
    for (unsigned i = 0; i < arguments->operand_count; i++) {
        const char *wrong =
            query_term(&query, span_text(arguments->operands[i]), now_us, &tuning.arena);
        if (wrong != NULL)
            return usage_error("\"%s\": %s", arguments->operands[i], wrong);
    }
    enum err err = search(tuning.audit, &query, &tuning.arena, take_line, NULL, &stats);
    if (err != OK)
        return usage_error("cannot search %s: %s", tuning.audit, err_text(err));
    tune_judge(&tuning.groups);
    return EXIT_GOOD;
}

/* ---- the candidate ---- */

static bool write_trial(struct span text)
{
    struct stat info;
    struct text path = text_fixed(tuning.trial, sizeof(tuning.trial));
    text_format(&path, "%s.tune", tuning.config);
    if (text_cstring(&path) == NULL || stat(tuning.config, &info) != 0)
        return false;
    (void)unlink(tuning.trial);
    int fd = open(tuning.trial, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
                  info.st_mode & 0777);
    bool good = fd >= 0 && print_all(fd, text) && fsync(fd) == 0 &&
                (geteuid() != 0 || fchown(fd, info.st_uid, info.st_gid) == 0);
    if (fd >= 0)
        (void)close(fd);
    return good;
}

static bool is_proved(const struct tune_proof *proof)
{
    return proof->attacks_lost == 0 && proof->others_lost == 0 && proof->captures > 0 &&
           proof->passing == proof->captures;
}

/* ---- telling ---- */

static void print_span_clean(struct span value, size_t max)
{
    print_clean(arena_cstring(&tuning.arena, span_sub(value, 0, max)), max);
}

static void print_group(size_t number, const struct tune_group *group)
{
    (void)printf("%zu  ", number);
    for (unsigned i = 0; i < group->rule_count; i++)
        (void)printf("%s%llu", i > 0 ? "," : "", (unsigned long long)group->rules[i]);
    (void)printf("  ");
    print_span_clean(group->field, 60);
    (void)printf("  ");
    print_span_clean(group->method, 16);
    (void)putchar(' ');
    print_span_clean(group->site, 60);
    print_span_clean(group->path, 120);
    (void)printf(
        "  %llu hits, %u%s networks, %llu%% signed in (%u%s users)\n",
        (unsigned long long)group->hits, group->network_count,
        group->network_count == TUNE_SEEN_MAX ? "+" : "",
        (unsigned long long)(group->hits > 0 ? group->signed_in * 100 / group->hits : 0),
        group->user_count, group->user_count == TUNE_SEEN_MAX ? "+" : "");
}

static void print_proof(const struct tune_edit *edit, const struct tune_proof *proof)
{
    (void)printf("   + ");
    print_span_clean(edit->added, 1000);
    (void)printf("   # %s:%u\n", tuning.config, edit->line);
    (void)printf(
        "   replay: %zu of %zu captured false positives pass; of %zu other captures %zu "
        "more pass\n",
        proof->passing, proof->captures, proof->others, proof->others_lost);
    (void)printf("   attacks: %zu of %zu are found as before in other fields; in the field "
                 "itself %zu of %zu\n",
                 proof->attacks - proof->attacks_lost, proof->attacks, proof->inside_kept,
                 proof->inside);
}

static json_t *group_json(const struct tune_group *group, const struct tune_edit *edit,
                          const struct tune_proof *proof, const char *why, bool applied)
{
    json_t *rules = json_array(), *made;
    for (unsigned i = 0; i < group->rule_count; i++)
        (void)json_array_append_new(rules, json_integer((json_int_t)group->rules[i]));
    made = json_pack("{s:o, s:s%, s:s%, s:s%, s:s%, s:I, s:i, s:i, s:b}", "rules", rules,
                     "site", group->site.p, group->site.len, "method", group->method.p,
                     group->method.len, "path", group->path.p, group->path.len, "field",
                     group->field.p, group->field.len, "hits", (json_int_t)group->hits,
                     "networks", (int)group->network_count, "users", (int)group->user_count,
                     "applied", applied);
    if (why != NULL)
        (void)json_object_set_new(made, "refused", json_string(why));
    if (edit != NULL && edit->added.p != NULL)
        (void)json_object_set_new(made, "exclusion",
                                  json_stringn(edit->added.p, edit->added.len));
    if (proof != NULL)
        (void)json_object_set_new(
            made, "proof",
            json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "captures",
                      (json_int_t)proof->captures, "passing", (json_int_t)proof->passing,
                      "others", (json_int_t)proof->others, "others_lost",
                      (json_int_t)proof->others_lost, "attacks", (json_int_t)proof->attacks,
                      "attacks_lost", (json_int_t)proof->attacks_lost, "inside",
                      (json_int_t)proof->inside, "inside_kept",
                      (json_int_t)proof->inside_kept));
    return made;
}

/* ---- one group ---- */

static const char *shortcoming(const struct tune_proof *proof)
{
    if (proof->attacks_lost > 0)
        return "attacks in other fields would pass, too";
    if (proof->others_lost > 0)
        return "other captured requests would pass, too";
    if (proof->captures == 0)
        return "not proved: none of them is captured (audit.capture, and --key)";
    return "not proved: captured false positives are refused still";
}

/* NULL: proved, and applied where that was asked for. */
static const char *offer(const struct tune_group *group, struct tune_edit *edit,
                         struct tune_proof *proof, bool *proved)
{
    struct file file;
    const char *wrong = file_read(tuning.config, CONFIG_BYTES_MAX, &tuning.arena, &file);
    if (wrong == NULL)
        wrong = tune_edit(edit, file.text, tuning.config, group, tuning.now_s, &tuning.arena);
    if (wrong != NULL)
        return wrong;
    if (!write_trial(edit->text))
        return "the candidate cannot be written beside the configuration";
    *proved =
        tune_prove(proof, group, &tuning.captures, tuning.config, tuning.trial, &tuning.arena);
    if (!*proved)
        wrong = "it could not be tried";
    else if (!is_proved(proof))
        wrong = shortcoming(proof);
    if (wrong == NULL && tuning.apply && rename(tuning.trial, tuning.config) != 0)
        wrong = "the configuration cannot be replaced";
    if (wrong != NULL || !tuning.apply)
        (void)unlink(tuning.trial);
    return wrong;
}

static void tell(size_t number, const struct tune_group *group, json_t *all)
{
    struct tune_edit edit = { .line = 0 };
    struct tune_proof proof;
    bool proved = false;
    const char *why = group->refusal;
    if (why == NULL)
        why = offer(group, &edit, &proof, &proved);
    if (tuning.json) {
        (void)json_array_append_new(all, group_json(group, &edit, proved ? &proof : NULL, why,
                                                    why == NULL && tuning.apply));
        return;
    }
    print_group(number, group);
    if (proved)
        print_proof(&edit, &proof);
    if (why != NULL)
        (void)printf("   %s: %s\n", group->refusal != NULL ? "NOT offered" : "not applied",
                     why);
    else if (tuning.apply)
        (void)printf("   applied; `sallyport reload` takes it\n");
}

static int tell_all(void)
{
    json_t *all = json_array();
    for (size_t i = 0; i < tuning.groups.count && i < TUNE_OFFERS_MAX; i++)
        tell(i + 1, &tuning.groups.items[i], all);
    if (tuning.json) {
        json_t *told = json_pack("{s:o, s:I, s:I}", "groups", all, "more",
                                 (json_int_t)tuning.groups.dropped, "unnamed",
                                 (json_int_t)tuning.groups.unnamed);
        (void)json_dumpf(told, stdout, JSON_COMPACT);
        (void)putchar('\n');
        json_decref(told);
        return EXIT_GOOD;
    }
    json_decref(all);
    if (tuning.groups.count == 0)
        (void)printf("no match of a SecLang rule in the log\n");
    if (tuning.groups.unnamed > 0)
        (void)printf(
            "%llu matches are of the built-in pack's rules, which no exclusion names\n",
            (unsigned long long)tuning.groups.unnamed);
    return EXIT_GOOD;
}

int verb_tune(const struct arguments *arguments)
{
    struct loaded loaded;
    struct clock now;
    if (!output_is_json(arguments, &tuning.json))
        return EXIT_BAD;
    tuning.config = arguments->values[FLAG_CONFIG];
    tuning.apply = arguments->values[FLAG_APPLY] != NULL;
    if (tuning.config == NULL)
        return usage_error("`tune` takes -c FILE");
    clock_read(&now);
    tuning.now_s = now.wall_us / 1000000u;
    arena_init(&tuning.arena, NULL, 0, NULL, (size_t)16 << 30);
    tuning.groups.arena = &tuning.arena;
    loaded_open(&loaded, tuning.config);
    if (loaded.config == NULL) {
        loaded_print(&loaded, STDERR_FILENO, false);
        return EXIT_BAD;
    }
    tuning.audit = arguments->values[FLAG_FILE];
    if (tuning.audit == NULL && loaded.config->audit.file.text.len > 0)
        tuning.audit = arena_cstring(&tuning.arena, loaded.config->audit.file.text);
    loaded_close(&loaded);
    if (tuning.audit == NULL)
        return usage_error("the configuration has no audit.file: say which by --file");
    if (arguments->values[FLAG_KEY] != NULL) {
        const char *wrong = captured_read(&tuning.captures, tuning.audit,
                                          arguments->values[FLAG_KEY], &tuning.arena);
        if (wrong != NULL)
            return usage_error("captures of %s: %s", tuning.audit, wrong);
    }
    int code = read_log(arguments);
    return code == EXIT_GOOD ? tell_all() : code;
}
