/* Programs by chance. */
#include "tests/unit/rules/engine/programs.h"

#include "gateway/base/text.h"

static const char *one_of(struct dice *dice, const char *const *items, unsigned count)
{
    return items[dice_below(dice, count)];
}
#define ONE_OF(dice, ...)                                                                      \
    one_of(dice, (const char *const[]){ __VA_ARGS__ },                                         \
           (unsigned)(sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *)))

static void write_condition(struct text *out, struct dice *dice)
{
    unsigned name = dice_below(dice, 4), number = dice_below(dice, 3);
    switch (dice_below(dice, 10)) {
    case 6:
        text_format(out, "SecRule IP:v%u \"@ge %u\"", name % 2, number);
        return;
    case 5:
        text_format(out, "SecRule ARGS \"%s@%s %%{tx.v%u}\"",
                    dice_below(dice, 2) == 0 ? "!" : "", ONE_OF(dice, "within", "ge", "streq"),
                    name);
        return;
    case 0:
        text_format(out, "SecRule &ARGS \"@eq %u\"", number);
        return;
    case 1:
        text_format(out, "SecRule &TX:v%u \"@eq %u\"", name, number % 2);
        return;
    case 2:
        text_format(out, "SecRule TX:/^v[%u-3]/ \"@ge %u\"", name, number);
        return;
    case 3:
        text_format(out, "SecRule TX:v%u \"@eq %%{tx.v%u}\"", name, dice_below(dice, 4));
        return;
    case 4:
        text_format(out, "SecRule TX:v%u|ARGS:a \"@ge %u\"", name, number);
        return;
    default:
        text_format(out, "SecRule TX:v%u \"%s@%s %u\"", name,
                    dice_below(dice, 3) == 0 ? "!" : "", ONE_OF(dice, "eq", "lt", "gt", "ge"),
                    number);
    }
}

static void write_step(struct text *out, struct dice *dice)
{
    unsigned name = dice_below(dice, 4), number = dice_below(dice, 3);
    switch (dice_below(dice, 18)) {
    case 9:
        text_format(out, ",setvar:ip.v%u=+1", name % 2);
        return;
    case 10:
        text_format(out, ",setvar:tx.v%u=%%{ip.v%u}", name, name % 2);
        return;
    case 0:
        text_format(out, ",setvar:!tx.v%u", name);
        return;
    case 1:
        text_format(out, ",setvar:tx.v%u=%%{tx.v%u}", name, dice_below(dice, 4));
        return;
    case 2:
        text_format(out, ",setvar:tx.%s%%{ARGS_NAMES.a}=%u", ONE_OF(dice, "v", "w", ""),
                    number);
        return;
    case 3:
        text_format(out, ",ctl:ruleRemoveById=%u", 1 + dice_below(dice, 14));
        return;
    case 4:
        text_format(out, ",ctl:ruleRemoveTargetById=%u;TX:v%u", 1 + dice_below(dice, 14), name);
        return;
    case 5:
        text_format(out, ",ctl:ruleEngine=%s", ONE_OF(dice, "Off", "DetectionOnly", "On"));
        return;
    case 6:
    case 7:
    case 8:
        text_format(out, ",setvar:tx.v%u=%s%u", name, ONE_OF(dice, "+", "-"), number);
        return;
    default:
        text_format(out, ",setvar:tx.v%u=%u", name, number);
    }
}

static void write_steps(struct text *out, struct dice *dice)
{
    for (unsigned i = dice_below(dice, 3); i > 0; i--)
        write_step(out, dice);
}

/* Each argument becomes a variable, and the next link looks at those. */
static void write_feeder(struct text *out, struct dice *dice, unsigned id)
{
    text_format(out,
                "SecRule ARGS|ARGS_NAMES \"@rx ^.*$\" \"id:%u,phase:%u,t:none,t:lowercase,"
                "pass,capture,%s,logdata:'%%{tx.0}',setvar:tx.%s%%{tx.0}=/%%{tx.0}/,chain\"\n"
                "SecRule TX:/^%s/ \"@within /1/ /%s/\" \"t:none",
                id, 1 + dice_below(dice, 2), ONE_OF(dice, "log", "nolog"),
                ONE_OF(dice, "f_", "fe_", "v"), ONE_OF(dice, "f_", "f_", "fe_"),
                ONE_OF(dice, "a", "x"));
}

static void write_rule(struct text *out, struct dice *dice, unsigned id, unsigned marker)
{
    bool action = dice_below(dice, 3) == 0;
    if (dice_below(dice, 10) == 0) {
        write_feeder(out, dice, id);
        write_steps(out, dice);
        text_lit(out, "\"\n");
        return;
    }
    if (action)
        text_lit(out, "SecAction");
    else
        write_condition(out, dice);
    unsigned phase = dice_below(dice, 6);
    text_format(out, " \"id:%u,phase:%u,t:none,%s", id, phase == 0 ? 1 : phase,
                ONE_OF(dice, "nolog", "nolog", "nolog", "log"));
    const char *decision = dice_below(dice, 10) > 0
                               ? "pass"
                               : ONE_OF(dice, "deny", "allow", "allow:phase", "allow:request");
    text_format(out, ",%s", phase == 5 ? "pass" : decision);
    if (dice_below(dice, 5) == 0)
        text_format(out, ",skip:%u", 1 + dice_below(dice, 3));
    else if (dice_below(dice, 4) == 0)
        text_format(out, ",skipAfter:M%u", marker);
    if (dice_below(dice, 3) == 0)
        text_format(out, ",logdata:'%%{tx.v%u} %s'", dice_below(dice, 4),
                    ONE_OF(dice, "", "", "%{tx.f_1}", "%{tx.0}"));
    if (dice_below(dice, 8) == 0)
        text_format(out, ",severity:%u", 1 + dice_below(dice, 6));
    write_steps(out, dice);
    if (action || dice_below(dice, 4) > 0) {
        text_lit(out, "\"\n");
        return;
    }
    text_lit(out, ",chain\"\n");
    write_condition(out, dice);
    text_lit(out, " \"t:none");
    write_steps(out, dice);
    text_lit(out, "\"\n");
}

void program_write(struct text *out, struct dice *dice)
{
    enum { RULES = PROGRAM_RULES, MARKERS = 3 };
    if (dice_below(dice, 2) == 0)
        text_format(out,
                    "SecRule REQUEST_HEADERS:a \"@rx ^.*$\" \"id:90,phase:1,nolog,pass,t:none,"
                    "setvar:tx.key=%%{MATCHED_VAR}\"\n"
                    "SecAction \"id:91,phase:1,nolog,pass,initcol:ip=%%{%s}_%%{tx.key}\"\n",
                    ONE_OF(dice, "REMOTE_ADDR", "tx.v1"));
    for (unsigned i = 0; i < RULES; i++) {
        write_rule(out, dice, i + 1, i / (RULES / MARKERS));
        if ((i + 1) % (RULES / MARKERS) == 0)
            text_format(out, "SecMarker M%u\n", i / (RULES / MARKERS));
    }
}
