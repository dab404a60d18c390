/*
 * The verb `doctor`: all checks, and how they are told.
 */
#include "gateway/cli/doctor.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "gateway/cli/cli.h"
#include "gateway/cli/explain.h"

static const char *const words[] = {
    [HEALTH_GOOD] = "ok", [HEALTH_WARN] = "warn", [HEALTH_BAD] = "bad"
};

void doctor_say(struct doctor *doctor, enum health health, const char *check,
                const char *format, ...)
{
    char buffer[1024];
    va_list list;
    if (doctor->count == DOCTOR_FINDINGS_MAX) {
        doctor->dropped++;
        return;
    }
    va_start(list, format);
    int len = vsnprintf(buffer, sizeof(buffer), format, list);
    va_end(list);
    if (len < 0)
        len = 0;
    if ((size_t)len >= sizeof(buffer))
        len = (int)sizeof(buffer) - 1;
    doctor->findings[doctor->count].health = health;
    doctor->findings[doctor->count].check = check;
    doctor->findings[doctor->count++].what =
        arena_copy(doctor->arena, span_of(buffer, (size_t)len));
}

static void print_json(const struct doctor *doctor)
{
    json_t *all = json_array();
    for (unsigned i = 0; i < doctor->count; i++)
        (void)json_array_append_new(
            all, json_pack("{s:s, s:s, s:s%}", "check", doctor->findings[i].check, "health",
                           words[doctor->findings[i].health], "what",
                           doctor->findings[i].what.p, doctor->findings[i].what.len));
    (void)json_dumpf(all, stdout, JSON_COMPACT);
    (void)putchar('\n');
    json_decref(all);
}

static void print_human(const struct doctor *doctor, unsigned counts[HEALTH_BAD + 1])
{
    for (unsigned i = 0; i < doctor->count; i++) {
        (void)printf("%-5s %-13s ", words[doctor->findings[i].health],
                     doctor->findings[i].check);
        print_clean(arena_cstring(doctor->arena, doctor->findings[i].what), 1000);
        (void)putchar('\n');
    }
    if (doctor->dropped > 0)
        (void)printf("%u more\n", doctor->dropped);
    (void)printf("%u good, %u to look at, %u bad\n", counts[HEALTH_GOOD], counts[HEALTH_WARN],
                 counts[HEALTH_BAD]);
}

int verb_doctor(const struct arguments *arguments)
{
    static void (*const checks[])(struct doctor *) = {
        doctor_kernel, doctor_limits,       doctor_clock,   doctor_files,
        doctor_cache,  doctor_certificates, doctor_origins, doctor_store,
    };
    static struct doctor doctor;
    struct loaded loaded;
    unsigned counts[HEALTH_BAD + 1] = { 0 };
    bool json;
    if (!output_is_json(arguments, &json))
        return EXIT_BAD;
    if (arguments->values[FLAG_CONFIG] == NULL || arguments->operand_count > 0)
        return usage_error("`doctor` takes -c FILE");
    loaded_open(&loaded, arguments->values[FLAG_CONFIG]);
    if (loaded.config == NULL) {
        loaded_print(&loaded, STDERR_FILENO, json);
        return EXIT_BAD;
    }
    doctor.config = loaded.config;
    doctor.arena = &loaded.arena;
    for (size_t i = 0; i < ARRAY_LEN(checks); i++)
        checks[i](&doctor);
    for (unsigned i = 0; i < doctor.count; i++)
        counts[doctor.findings[i].health]++;
    if (json)
        print_json(&doctor);
    else
        print_human(&doctor, counts);
    return counts[HEALTH_BAD] > 0 ? EXIT_TROUBLE : EXIT_GOOD;
}
