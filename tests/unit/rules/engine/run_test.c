/*
 * Running a plan: each row is a sentence of the language, with the values of a transaction and
 * what the rules have to say about them. Each is run in one go and in slices of several sizes,
 * which must come to the very same.
 */
#include <stdio.h>

#include "tests/unit/rules/engine/kit.h"

struct row {
    const char *what, *rules, *values;
    const char *logged;       /* ids in their order */
    const char *name, *value; /* of TX at the end; value NULL: unset */
    enum engine_mode mode;    /* ENGINE_OFF: as ENGINE_ON */
    unsigned intercepted;     /* id of the rule */
};

#define LOG ",phase:2,pass,log,t:none"
#define QUIET ",phase:1,pass,nolog,t:none"

static const struct row order_rows[] = {
    { "a pattern on arguments", "SecRule ARGS \"@rx ^b\" \"id:1" LOG "\"",
      "ARGS_GET:x=abc\nARGS_POST:y=bcd", .logged = "1" },
    { "each value that matches logs", "SecRule ARGS \"@rx b\" \"id:1" LOG "\"",
      "ARGS_GET:x=abc\nARGS_GET:y=bcd", .logged = "1 1" },
    { "matches in the order of rules, not of finds",
      "SecRule ARGS \"@contains z\" \"id:1" LOG "\"\nSecRule ARGS \"@contains a\" \"id:2" LOG
      "\"\nSecRule ARGS:y|ARGS:x \"@rx .\" \"id:3" LOG ",setvar:tx.%{MATCHED_VAR_NAME}=+1\"",
      "ARGS_GET:x=az\nARGS_GET:y=b", .logged = "1 2 3 3" },
    { "the order of phases is that of their numbers",
      "SecAction \"id:5,phase:5,pass,log\"\nSecAction \"id:2" LOG "\"\n"
      "SecAction \"id:1,phase:1,pass,log\"\nSecAction \"id:3,phase:3,pass,log\"",
      "", .logged = "1 2 3 5" },
    { "nolog logs nothing", "SecRule ARGS \"@rx a\" \"id:1" QUIET ",setvar:tx.a=1\"",
      "ARGS_GET:x=a", .logged = "", .name = "a", .value = "1" },
    { "a rule whose pattern is nowhere is not asked",
      "SecRule ARGS \"@rx a\" \"id:1" LOG ",setvar:tx.a=1\"", "ARGS_GET:x=b", .logged = "",
      .name = "a" },
    { "a chain logs once, when its last link matches",
      "SecRule ARGS:a \"@rx 1\" \"id:1" LOG ",chain\"\nSecRule ARGS:b \"@rx 2\" \"t:none\"",
      "ARGS_GET:a=1\nARGS_GET:b=2", .logged = "1" },
    { "a chain whose last link fails has run the actions of the first",
      "SecRule ARGS:a \"@rx 1\" \"id:1" LOG ",chain,setvar:tx.a=1\"\n"
      "SecRule ARGS:b \"@rx 2\" \"t:none,setvar:tx.b=1\"",
      "ARGS_GET:a=1\nARGS_GET:b=3", .logged = "", .name = "a", .value = "1" },
    { "the actions of a later link run once for each of its matches",
      "SecRule ARGS:a \"@rx 1\" \"id:1" LOG ",chain\"\n"
      "SecRule ARGS \"@rx .\" \"t:none,setvar:tx.n=+1\"",
      "ARGS_GET:a=1\nARGS_GET:b=3", .logged = "1 1", .name = "n", .value = "2" },
    { "skip counts chains, not links",
      "SecAction \"id:1" LOG ",skip:1\"\nSecRule ARGS \"@rx .\" \"id:2" LOG ",chain\"\n"
      "SecRule ARGS \"@rx .\"\nSecAction \"id:3" LOG "\"",
      "ARGS_GET:x=1", .logged = "1 3" },
    { "skip past the end", "SecAction \"id:1" LOG ",skip:9\"\nSecAction \"id:2" LOG "\"", "",
      .logged = "1" },
    { "skipAfter a marker",
      "SecRule ARGS \"@rx a\" \"id:1" LOG ",skipAfter:M\"\nSecRule ARGS \"@rx a\" \"id:2" LOG
      "\"\nSecMarker M\nSecRule ARGS \"@rx a\" \"id:3" LOG "\"",
      "ARGS_GET:x=a", .logged = "1 3" },
    { "skipAfter does not skip when its rule does not match",
      "SecRule ARGS \"@rx z\" \"id:1" LOG ",skipAfter:M\"\nSecRule ARGS \"@rx a\" \"id:2" LOG
      "\"\nSecMarker M\nSecRule ARGS \"@rx a\" \"id:3" LOG "\"",
      "ARGS_GET:x=a", .logged = "2 3" },
    { "skipAfter of a chain waits for its last link",
      "SecRule ARGS:a \"@rx 1\" \"id:1" LOG ",chain,skipAfter:M\"\nSecRule ARGS:b \"@rx 2\"\n"
      "SecAction \"id:2" LOG "\"\nSecMarker M",
      "ARGS_GET:a=1\nARGS_GET:b=3", .logged = "2" },
    { "skipAfter skips in its own phase only",
      "SecRule ARGS \"@rx a\" \"id:1,phase:1,pass,log,skipAfter:M\"\nSecAction \"id:2" LOG
      "\"\nSecMarker M",
      "ARGS_GET:x=a", .logged = "1 2" },
};

static const struct row decision_rows[] = {
    { "deny ends the phase and those behind it, but for logging",
      "SecRule ARGS \"@rx a\" \"id:1,phase:1,deny,log\"\nSecAction \"id:2,phase:1,pass,log\"\n"
      "SecAction \"id:3" LOG "\"\nSecAction \"id:4,phase:5,pass,log\"",
      "ARGS_GET:x=a", .logged = "1 4", .intercepted = 1 },
    { "deny ends the rule too: no further value is asked",
      "SecRule ARGS \"@rx a\" \"id:1,phase:1,deny,log,setvar:tx.n=+1\"",
      "ARGS_GET:x=a\nARGS_GET:y=a", .logged = "1", .name = "n", .value = "1",
      .intercepted = 1 },
    { "detection goes on",
      "SecRule ARGS \"@rx a\" \"id:1,phase:1,deny,log\"\nSecAction \"id:2" LOG "\"",
      "ARGS_GET:x=a\nARGS_GET:y=a", .logged = "1 1 2", .mode = ENGINE_DETECT },
    { "block is what SecDefaultAction says",
      "SecDefaultAction \"phase:2,log,deny\"\nSecRule ARGS \"@rx a\" \"id:1,phase:2,block\"",
      "ARGS_GET:x=a", .logged = "1", .intercepted = 1 },
    { "block without SecDefaultAction passes",
      "SecRule ARGS \"@rx a\" \"id:1,phase:2,block,log\"\nSecAction \"id:2" LOG "\"",
      "ARGS_GET:x=a", .logged = "1 2" },
    { "allow ends all but logging",
      "SecRule ARGS \"@rx a\" \"id:1,phase:1,allow,log\"\nSecAction \"id:2" LOG "\"\n"
      "SecAction \"id:3,phase:3,pass,log\"\nSecAction \"id:4,phase:5,pass,log\"",
      "ARGS_GET:x=a", .logged = "1 4" },
    { "allow:phase ends its phase",
      "SecRule ARGS \"@rx a\" \"id:1,phase:1,allow:phase,log\"\n"
      "SecAction \"id:2,phase:1,pass,log\"\nSecAction \"id:3" LOG "\"",
      "ARGS_GET:x=a", .logged = "1 3" },
    { "allow:request ends both phases of requests",
      "SecRule ARGS \"@rx a\" \"id:1,phase:1,allow:request,log\"\nSecAction \"id:2" LOG
      "\"\nSecAction \"id:3,phase:3,pass,log\"\nSecAction \"id:4,phase:5,pass,log\"",
      "ARGS_GET:x=a", .logged = "1 3 4" },
    { "allow, too, leaves no further value to be asked",
      "SecRule ARGS \"@rx a\" \"id:1,phase:1,allow:phase,log\"", "ARGS_GET:x=a\nARGS_GET:y=a",
      .logged = "1" },
    { "allow does nothing in detection",
      "SecRule ARGS \"@rx a\" \"id:1,phase:1,allow,log\"\nSecAction \"id:2" LOG "\"",
      "ARGS_GET:x=a", .logged = "1 2", .mode = ENGINE_DETECT },
    { "ctl:ruleEngine=Off ends it",
      "SecRule ARGS \"@rx a\" \"id:1" LOG ",ctl:ruleEngine=Off\"\nSecAction \"id:2" LOG "\"",
      "ARGS_GET:x=a", .logged = "1" },
    { "ctl:ruleEngine=DetectionOnly lets through",
      "SecRule ARGS \"@rx a\" \"id:1" LOG ",ctl:ruleEngine=DetectionOnly\"\n"
      "SecRule ARGS \"@rx a\" \"id:2,phase:2,deny,log\"\nSecAction \"id:3" LOG "\"",
      "ARGS_GET:x=a", .logged = "1 2 3" },
    { "ctl:ruleEngine=On asks for no more than the mode has",
      "SecRule ARGS \"@rx a\" \"id:1" LOG ",ctl:ruleEngine=On\"\n"
      "SecRule ARGS \"@rx a\" \"id:2,phase:2,deny,log\"\nSecAction \"id:3" LOG "\"",
      "ARGS_GET:x=a", .logged = "1 2 3", .mode = ENGINE_DETECT },
    { "severity: the lowest number of what matched",
      "SecRule ARGS \"@rx a\" \"id:1" LOG ",severity:ERROR\"\nSecRule ARGS \"@rx a\" \"id:2" LOG
      ",severity:NOTICE\"\nSecRule ARGS \"@rx z\" \"id:3" LOG ",severity:CRITICAL\"\n"
      "SecRule HIGHEST_SEVERITY \"@eq 3\" \"id:4" LOG "\"",
      "ARGS_GET:x=a", .logged = "1 2 4" },
    { "severity of nothing is 255", "SecRule HIGHEST_SEVERITY \"@eq 255\" \"id:1" LOG "\"", "",
      .logged = "1" },
};

static const struct row value_rows[] = {
    { "setvar runs for each match", "SecRule ARGS \"@rx .\" \"id:1" LOG ",setvar:tx.n=+2\"",
      "ARGS_GET:x=1\nARGS_GET:y=2\nARGS_GET:z=3", .logged = "1 1 1", .name = "n",
      .value = "6" },
    { "without a value it is 1", "SecRule ARGS \"@rx a\" \"id:1" QUIET ",setvar:tx.n\"",
      "ARGS_GET:x=a", .logged = "", .name = "n", .value = "1" },
    { "counters stay above zero",
      "SecRule ARGS \"@rx a\" \"id:1" QUIET ",setvar:tx.n=3,setvar:tx.n=-5\"", "ARGS_GET:x=a",
      .logged = "", .name = "n", .value = "0" },
    { "what is no number counts as 0",
      "SecRule ARGS \"@rx a\" \"id:1" QUIET ",setvar:tx.n=x7,setvar:tx.n=+5\"", "ARGS_GET:x=a",
      .logged = "", .name = "n", .value = "5" },
    { "sums end at 32 bits",
      "SecRule ARGS \"@rx a\" \"id:1" QUIET
      ",setvar:tx.n=99999999999999999999,setvar:tx.n=+99999999999999999999\"",
      "ARGS_GET:x=a", .logged = "", .name = "n", .value = "2147483647" },
    { "unset", "SecRule ARGS \"@rx a\" \"id:1" QUIET ",setvar:tx.n=3,setvar:!tx.n\"",
      "ARGS_GET:x=a", .logged = "", .name = "n" },
    { "names have no case",
      "SecRule ARGS \"@rx a\" \"id:1" QUIET ",setvar:tx.Ab=1,setvar:tx.aB=+1\"", "ARGS_GET:x=a",
      .logged = "", .name = "ab", .value = "2" },
    { "a macro in the value",
      "SecRule ARGS \"@rx a\" \"id:1" QUIET ",setvar:tx.s=5,setvar:tx.n=+%{tx.s}\"",
      "ARGS_GET:x=a", .logged = "", .name = "n", .value = "5" },
    { "a macro in the name",
      "SecRule ARGS \"@rx .\" \"id:1" QUIET ",setvar:tx.%{MATCHED_VAR_NAME}=%{MATCHED_VAR}\"",
      "ARGS_GET:k=v", .logged = "", .name = "args:k", .value = "v" },
    { "a macro of a request's field",
      "SecRule ARGS \"@rx .\" \"id:1" QUIET ",setvar:tx.h=%{REQUEST_HEADERS.host}\"",
      "ARGS_GET:k=v\nREQUEST_HEADERS:Host=h.example", .logged = "", .name = "h",
      .value = "h.example" },
    { "what the rule at work is",
      "SecRule ARGS \"@rx .\" \"id:12" QUIET
      ",msg:'m',severity:ERROR,setvar:tx.r=%{RULE.id}-%{RULE.msg}-%{RULE.severity}\"",
      "ARGS_GET:k=v", .logged = "", .name = "r", .value = "12-m-3" },
    { "captures", "SecRule ARGS \"@rx (b)(c)\" \"id:1" LOG ",capture\"", "ARGS_GET:k=abcd",
      .logged = "1", .name = "2", .value = "c" },
    { "the whole match is TX:0", "SecRule ARGS \"@rx (b)(c)\" \"id:1" LOG ",capture\"",
      "ARGS_GET:k=abcd", .logged = "1", .name = "0", .value = "bc" },
    { "captures of an earlier match do not stay",
      "SecRule ARGS \"@rx (a)(b)?\" \"id:1" LOG ",capture\"", "ARGS_GET:x=ab\nARGS_GET:y=ac",
      .logged = "1 1", .name = "2" },
    { "without `capture` there are none", "SecRule ARGS \"@rx (b)\" \"id:1" LOG "\"",
      "ARGS_GET:k=abcd", .logged = "1", .name = "1" },
    { "captures of words", "SecRule ARGS \"@pm foo bar\" \"id:1" LOG ",capture\"",
      "ARGS_GET:k=a BAR b", .logged = "1", .name = "0", .value = "bar" },
    { "captures are there for the next link",
      "SecRule ARGS:a \"@rx (..)\" \"id:1" LOG ",capture,chain\"\nSecRule TX:1 \"@streq xy\"",
      "ARGS_GET:a=xyz", .logged = "1" },
    { "MATCHED_VARS are those of the chain so far",
      "SecRule ARGS \"@rx a\" \"id:1" LOG ",chain\"\n"
      "SecRule MATCHED_VARS \"@rx b\" \"t:none,setvar:tx.m=%{MATCHED_VAR_NAME}\"",
      "ARGS_GET:x=a\nARGS_GET:y=ab\nARGS_GET:z=b", .logged = "1", .name = "m",
      .value = "ARGS:y" },
    { "MATCHED_VARS_NAMES",
      "SecRule ARGS \"@rx a\" \"id:1" LOG ",chain\"\n"
      "SecRule MATCHED_VARS_NAMES \"@streq ARGS:y\"",
      "ARGS_GET:x=a\nARGS_GET:y=a", .logged = "1" },
    { "an exclusion takes what matched before by the name that it had",
      "SecRule ARGS|REQUEST_URI \"@rx b\" \"id:1" LOG ",chain\"\n"
      "SecRule MATCHED_VARS|!ARGS:/^y/|!REQUEST_URI \"@rx b\" "
      "\"t:none,setvar:tx.m=+1,setvar:tx.last=%{MATCHED_VAR_NAME}\"",
      "REQUEST_URI=/b\nARGS_GET:x=b\nARGS_GET:y=b\nARGS_GET:yy=b", .logged = "1",
      .name = "last", .value = "ARGS:x" },
    { "MATCHED_VARS of a chain are gone behind it",
      "SecRule ARGS \"@rx a\" \"id:1" LOG "\"\nSecRule &MATCHED_VARS \"@eq 0\" \"id:2" LOG "\"",
      "ARGS_GET:x=a", .logged = "1 2" },
    { "TX by pattern",
      "SecRule ARGS \"@rx a\" \"id:1" QUIET
      ",setvar:tx.p_1=x,setvar:tx.%{MATCHED_VAR_NAME}=x,setvar:tx.q=x\"\n"
      "SecRule TX:/^(?i:p_|args)/ \"@streq x\" \"id:2" LOG "\"",
      "ARGS_GET:x=a", .logged = "2 2" },
    { "TX is listed in the order of creation",
      "SecRule ARGS:y|ARGS:x \"@rx .\" \"id:1" QUIET ",setvar:tx.l_%{MATCHED_VAR_NAME}=x\"\n"
      "SecRule TX:/^l_/ \"@streq x\" \"id:2" LOG
      ",setvar:'tx.order=%{tx.order} %{MATCHED_VAR_NAME}'\"",
      "ARGS_GET:x=1\nARGS_GET:y=2", .logged = "2 2", .name = "order",
      .value = " TX:l_ARGS:y TX:l_ARGS:x" },
    { "env",
      "SecRule ARGS \"@rx a\" \"id:1" QUIET ",setenv:E=v\"\nSecRule ENV:E \"@streq v\" "
      "\"id:2" LOG "\"",
      "ARGS_GET:x=a", .logged = "2" },
    { "a collection that was not begun takes nothing",
      "SecRule ARGS \"@rx a\" \"id:1" QUIET ",setvar:ip.n=1\"\nSecRule &IP:n \"@eq 0\" "
      "\"id:2" LOG "\"",
      "ARGS_GET:x=a", .logged = "2" },
};

static const struct row target_rows[] = {
    { "what its own matches change a rule does not see",
      "SecRule ARGS|TX:/^n/|MATCHED_VARS \"@rx .\" \"id:1" LOG ",setvar:tx.n=+1\"",
      "ARGS_GET:x=1\nARGS_GET:y=2", .logged = "1 1", .name = "n", .value = "2" },
    { "SecAction matches as if it had looked at the client's address",
      "SecAction \"id:1" LOG ",t:hexEncode,setvar:tx.a=%{MATCHED_VAR_NAME}=%{MATCHED_VAR}\"",
      "REMOTE_ADDR=::1", .logged = "1", .name = "a", .value = "REMOTE_ADDR=3a3a31" },
    { "counts", "SecRule &ARGS:x \"@eq 2\" \"id:1" LOG "\"",
      "ARGS_GET:x=1\nARGS_GET:X=2\nARGS_GET:y=3", .logged = "1" },
    { "a count of nothing is 0", "SecRule &ARGS:z \"@eq 0\" \"id:1" LOG "\"", "",
      .logged = "1" },
    { "a count by pattern", "SecRule &ARGS:/^a/ \"@eq 2\" \"id:1" LOG "\"",
      "ARGS_GET:a1=\nARGS_GET:a2=\nARGS_GET:b=", .logged = "1" },
    { "a pattern on a count", "SecRule &ARGS \"@rx ^2$\" \"id:1" LOG "\"",
      "ARGS_GET:a=2\nARGS_GET:b=3", .logged = "1" },
    { "by name and by pattern", "SecRule ARGS:b|ARGS:/^A/ \"@rx .\" \"id:1" LOG "\"",
      "ARGS_GET:A1=1\nARGS_GET:a=1\nARGS_GET:B=1\nARGS_GET:c=1", .logged = "1 1 1" },
    { "exclusions by name and by pattern",
      "SecRule ARGS|!ARGS:a|!ARGS:/^b/ \"@rx .\" \"id:1" LOG ",setvar:tx.n=+1\"",
      "ARGS_GET:a=1\nARGS_GET:B1=1\nARGS_GET:b2=1\nARGS_GET:c=1", .logged = "1", .name = "n",
      .value = "1" },
    { "an exclusion before its target takes nothing away",
      "SecRule !ARGS:a|ARGS \"@rx .\" \"id:1" LOG "\"", "ARGS_GET:a=1", .logged = "1" },
    { "fields of one name have patterns of their own",
      "SecRule REQUEST_HEADERS:Referer \"@rx x\" \"id:1" LOG "\"\n"
      "SecRule REQUEST_HEADERS:User-Agent \"@rx x\" \"id:2" LOG "\"\n"
      "SecRule REQUEST_HEADERS \"@rx xx\" \"id:3" LOG "\"",
      "REQUEST_HEADERS:REFERER=xx\nREQUEST_HEADERS:other=x", .logged = "1 3" },
    { "a field whose name is made at run time",
      "SecRule ARGS \"@rx .\" \"id:1" QUIET ",setvar:tx.h=X-A\"\n"
      "SecRule REQUEST_HEADERS:%{tx.h} \"@rx b\" \"id:2" LOG "\"\n"
      "SecRule REQUEST_HEADERS:Host \"@rx b\" \"id:3" LOG "\"",
      "ARGS_GET:x=a\nREQUEST_HEADERS:x-a=b\nREQUEST_HEADERS:X-B=b", .logged = "2" },
    { "one value under two variables",
      "SecRule ARGS \"@rx a\" \"id:1" LOG "\"\nSecRule ARGS_GET \"@rx a\" \"id:2" LOG "\"\n"
      "SecRule ARGS_POST \"@rx a\" \"id:3" LOG "\"",
      "ARGS_GET:x=a", .logged = "1 2" },
    { "names",
      "SecRule ARGS_NAMES \"@rx ^x\" \"id:1" LOG "\"\n"
      "SecRule ARGS_POST_NAMES \"@rx ^y\" \"id:2" LOG "\"",
      "ARGS_GET:xx=\nARGS_POST:y=", .logged = "1 2" },
    { "ctl removes rules by id, tag and message",
      "SecRule ARGS \"@rx a\" \"id:1" QUIET ",ctl:ruleRemoveById=2-3,ctl:ruleRemoveByTag=^x,"
      "ctl:ruleRemoveByMsg=bad\"\n"
      "SecAction \"id:2" LOG "\"\nSecRule ARGS \"@rx a\" \"id:3" LOG "\"\n"
      "SecAction \"id:4" LOG ",tag:'xy'\"\nSecAction \"id:5" LOG ",msg:'too bad'\"\n"
      "SecAction \"id:6" LOG ",tag:'yx'\"",
      "ARGS_GET:x=a", .logged = "6" },
    { "ctl of a rule that does not match removes nothing",
      "SecRule ARGS \"@rx z\" \"id:1" QUIET ",ctl:ruleRemoveById=2\"\nSecAction \"id:2" LOG
      "\"",
      "ARGS_GET:x=a", .logged = "2" },
    { "ctl takes targets away, by id and by tag",
      "SecRule ARGS \"@rx 1\" \"id:1" QUIET ",ctl:ruleRemoveTargetById=2;ARGS:A,"
      "ctl:ruleRemoveTargetByTag=t1;ARGS\"\n"
      "SecRule ARGS \"@rx .\" \"id:2" LOG "\"\nSecRule ARGS \"@rx .\" \"id:3" LOG ",tag:'t1'\"",
      "ARGS_GET:a=1\nARGS_GET:b=1", .logged = "2" },
    { "links keep the targets that ctl takes from their head",
      "SecRule ARGS \"@rx 1\" \"id:1" QUIET ",ctl:ruleRemoveTargetById=2;ARGS:b\"\n"
      "SecRule ARGS:a \"@rx .\" \"id:2" LOG ",chain\"\nSecRule ARGS:b \"@rx .\"",
      "ARGS_GET:a=1\nARGS_GET:b=1", .logged = "2" },
};

static const struct row matching_rows[] = {
    { "a negated pattern", "SecRule ARGS \"!@rx a\" \"id:1" LOG "\"",
      "ARGS_GET:x=a\nARGS_GET:y=b", .logged = "1" },
    { "a negated operator has no value to say no about",
      "SecRule ARGS \"!@rx a\" \"id:1" LOG "\"", "REQUEST_URI=/", .logged = "" },
    { "`$` is the very end", "SecRule ARGS \"@rx a$\" \"id:1" LOG "\"",
      "ARGS_GET:x=a\nARGS_GET:y=ab", .logged = "1" },
    { "words, texts and their ends",
      "SecRule ARGS \"@pm one two\" \"id:1" LOG "\"\nSecRule ARGS \"@contains tw\" \"id:2" LOG
      "\"\nSecRule ARGS \"@beginsWith x\" \"id:3" LOG "\"\nSecRule ARGS \"@endsWith y\" "
      "\"id:4" LOG "\"\nSecRule ARGS \"@streq xTWOy\" \"id:5" LOG "\"",
      "ARGS_GET:a=xTWOy", .logged = "1 3 4 5" },
    { "a pattern that matches the empty text", "SecRule ARGS \"@rx ^z*\" \"id:1" LOG "\"",
      "ARGS_GET:x=\nARGS_GET:y=a", .logged = "1 1" },
    { "a pattern that Hyperscan has no meaning for",
      "SecRule ARGS \"@rx (a)(?=b)\" \"id:1" LOG "\"", "ARGS_GET:x=ab\nARGS_GET:y=ac",
      .logged = "1" },
    { "a pattern with a macro in it",
      "SecRule ARGS \"@rx b\" \"id:1" QUIET
      ",setvar:'tx.p=b+'\"\nSecRule ARGS \"@rx ^%{tx.p}$\" "
      "\"id:2" LOG "\"",
      "ARGS_GET:x=bbb\nARGS_GET:y=bc", .logged = "2" },
    { "an operand with a macro in it",
      "SecRule ARGS \"@rx .\" \"id:1" QUIET ",setvar:tx.n=2\"\nSecRule ARGS \"@gt %{tx.n}\" "
      "\"id:2" LOG "\"",
      "ARGS_GET:x=2\nARGS_GET:y=3", .logged = "2" },
    { "transformations in their order",
      "SecRule ARGS \"@streq a b\" \"id:1,phase:2,pass,log,t:none,t:urlDecode,t:lowercase\"",
      "ARGS_GET:x=A%20B", .logged = "1" },
    { "a pattern counts in its rule's form only",
      "SecRule ARGS \"@rx A\" \"id:1" LOG ",t:lowercase\"\nSecRule ARGS \"@rx A\" \"id:2" LOG
      "\"\nSecRule ARGS \"@rx a\" \"id:3" LOG ",t:lowercase\"",
      "ARGS_GET:x=A", .logged = "2 3" },
    { "forms that are the same bytes",
      "SecRule ARGS \"@rx x\" \"id:1" LOG ",t:urlDecode\"\n"
      "SecRule ARGS \"@rx x\" \"id:2" LOG ",t:lowercase\"\n"
      "SecRule ARGS \"@rx x\" \"id:3" LOG ",t:htmlEntityDecode,t:lowercase\"",
      "ARGS_GET:a=x", .logged = "1 2 3" },
    { "numbers of a transformed value", "SecRule ARGS \"@eq 3\" \"id:1" LOG ",t:length\"",
      "ARGS_GET:a=xyz", .logged = "1" },
    { "multiMatch looks before and behind each change",
      "SecRule ARGS \"@rx [Aa]\" \"id:1" LOG ",t:lowercase,t:removeNulls,multiMatch\"",
      "ARGS_GET:x=A", .logged = "1 1 1" },
    { "multiMatch looks once where nothing changes",
      "SecRule ARGS \"@rx a\" \"id:1" LOG ",t:lowercase,multiMatch\"", "ARGS_GET:x=a",
      .logged = "1" },
    { "multiMatch finds what a later step takes away",
      "SecRule ARGS \"@rx %3c\" \"id:1" LOG ",t:urlDecode,multiMatch\"", "ARGS_GET:x=%3c",
      .logged = "1" },
};

static bool says(struct bench *bench, const struct row *row, uint64_t slice)
{
    enum engine_mode mode = row->mode == ENGINE_OFF ? ENGINE_ON : row->mode;
    bench_begin(bench, row->values);
    bench->run.engine = bench->run.ceiling = mode;
    assert_int_equal(bench_run(bench, slice), SEC_DONE);
    struct span ids = bench_ids(bench);
    bool good = span_equal(ids, span_text(row->logged));
    if (!good)
        print_error("%s: logged \"%.*s\", not \"%s\"\n", row->what, (int)ids.len, ids.p,
                    row->logged);
    uint64_t id = bench->run.intercepted != NULL ? bench->run.intercepted->id : 0;
    if (id != row->intercepted) {
        print_error("%s: %llu intercepted, not %u\n", row->what, (unsigned long long)id,
                    row->intercepted);
        good = false;
    }
    struct span unset = SPAN("(unset)");
    struct span got = row->name != NULL ? bench_tx(bench, row->name) : unset;
    struct span want = row->value != NULL ? span_text(row->value) : unset;
    if (!span_equal(got.p != NULL ? got : unset, want)) {
        print_error("%s: TX:%s is \"%.*s\", not \"%.*s\"\n", row->what, row->name, (int)got.len,
                    got.p, (int)want.len, want.p);
        good = false;
    }
    return good;
}

static void check_rows(const struct row *rows, size_t count)
{
    static const uint64_t slices[] = { 1, 17, 100, 4000 };
    struct arena accounts;
    unsigned wrong = 0;
    arena_init(&accounts, NULL, 0, NULL, 1 << 24);
    for (size_t i = 0; i < count; i++) {
        struct bench bench;
        bench_load(&bench, rows[i].rules);
        wrong += !says(&bench, &rows[i], UINT64_MAX);
        struct span whole = bench_account(&bench, &accounts);
        for (size_t j = 0; j < ARRAY_LEN(slices); j++) {
            (void)says(&bench, &rows[i], slices[j]);
            struct span sliced = bench_account(&bench, &accounts);
            if (!span_equal(whole, sliced)) {
                print_error("%s: in slices of %u:\n%.*s\nnot\n%.*s\n", rows[i].what,
                            (unsigned)slices[j], (int)sliced.len, sliced.p, (int)whole.len,
                            whole.p);
                wrong++;
            }
        }
        bench_unload(&bench);
        arena_reset(&accounts);
    }
    assert_int_equal(wrong, 0);
}

static void rules_in_order(void **state)
{
    (void)state;
    check_rows(order_rows, ARRAY_LEN(order_rows));
}

static void decisions(void **state)
{
    (void)state;
    check_rows(decision_rows, ARRAY_LEN(decision_rows));
}

static void variables(void **state)
{
    (void)state;
    check_rows(value_rows, ARRAY_LEN(value_rows));
}

static void targets(void **state)
{
    (void)state;
    check_rows(target_rows, ARRAY_LEN(target_rows));
}

static void ways_of_matching(void **state)
{
    (void)state;
    check_rows(matching_rows, ARRAY_LEN(matching_rows));
}

/* ---- what a match says ----------------------------------------------------------------------
 */

static void says_where_it_matched(void **state)
{
    struct bench bench;
    (void)state;
    bench_load(&bench, "SecRule ARGS \"@rx b(.)\" \"id:1,phase:2,pass,log,t:none,t:lowercase,"
                       "capture,msg:'in %{MATCHED_VAR_NAME}',logdata:'%{TX.1} of "
                       "%{MATCHED_VAR}',severity:CRITICAL\"");
    bench_begin(&bench, "ARGS_GET:k=xaBCd");
    assert_int_equal(bench_run(&bench, UINT64_MAX), SEC_DONE);
    const struct sec_match *match = bench.run.matches;
    assert_non_null(match);
    assert_text(match->field, "ARGS:k");
    assert_text(match->text, "xabcd");
    assert_text(match->original, "xaBCd");
    assert_text(match->message, "in ARGS:k");
    assert_text(match->log_data, "c of xabcd");
    assert_int_equal(match->offset, 2);
    assert_int_equal(match->len, 2);
    assert_int_equal(match->phase, SEC_REQUEST_BODY);
    bench_unload(&bench);
}

static void of_a_chain_the_last_link_speaks(void **state)
{
    struct bench bench;
    (void)state;
    bench_load(&bench, "SecRule ARGS:a \"@rx 1\" \"id:1,phase:2,pass,log,t:none,chain\"\n"
                       "SecRule ARGS:b \"@rx 2\" \"t:none\"");
    bench_begin(&bench, "ARGS_GET:a=1\nARGS_GET:b=x2");
    assert_int_equal(bench_run(&bench, UINT64_MAX), SEC_DONE);
    assert_text(bench.run.matches->field, "ARGS:b");
    assert_int_equal(bench.run.matches->offset, 1);
    assert_ptr_equal(bench.run.matches->link, bench.run.matches->rule->next);
    bench_unload(&bench);
}

static void a_match_tells_how_its_text_was_made(void **state)
{
    struct bench bench;
    (void)state;
    bench_load(&bench, "SecRule ARGS \"@rx a\" \"id:1,phase:2,pass,log,t:none,t:urlDecode,"
                       "t:lowercase\"\n"
                       "SecRule ARGS \"@rx A\" \"id:2,phase:2,pass,log,t:none,t:lowercase,"
                       "multiMatch\"\n"
                       "SecRule ARGS:x \"@rx A\" \"id:3,phase:2,pass,log,t:none,chain\"\n"
                       "SecRule ARGS:y \"@rx B\" \"t:none\"");
    bench_begin(&bench, "ARGS_GET:x=A\nARGS_GET:y=B");
    assert_int_equal(bench_run(&bench, UINT64_MAX), SEC_DONE);
    const struct sec_match *match = bench.run.matches;
    assert_int_equal(match->transform_count, 2);
    match = match->next;
    assert_int_equal(match->rule->id, 2);
    assert_int_equal(match->transform_count, 0);
    match = match->next;
    assert_int_equal(match->rule->id, 3);
    assert_text(match->met->name, "ARGS:x");
    assert_text(match->met->next->name, "ARGS:y");
    bench_unload(&bench);
}

/* ---- what the gateway lends -----------------------------------------------------------------
 */

static bool know_one(void *context, struct sec_run *run, struct span address)
{
    (void)context;
    return span_equal(address, SPAN("192.0.2.1")) &&
           sec_geo_add(run, "COUNTRY_CODE", SPAN("NL")) &&
           sec_geo_add(run, "COUNTRY_CONTINENT", SPAN("EU"));
}

static void geo_by_callback(void **state)
{
    static const struct sec_geo geo = { .lookup = know_one };
    struct bench bench;
    (void)state;
    bench_load(&bench, "SecRule ARGS:ip \"@geoLookup\" \"id:1,phase:1,pass,log,"
                       "setvar:'tx.c=%{GEO.COUNTRY_CODE}'\"\n"
                       "SecRule GEO:COUNTRY_CONTINENT \"@streq EU\" \"id:2,phase:1,pass,log\"\n"
                       "SecRule &GEO \"@eq 0\" \"id:3,phase:1,pass,log\"");
    bench_begin(&bench, "ARGS_GET:ip=192.0.2.1");
    bench.run.geo = &geo;
    assert_int_equal(bench_run(&bench, UINT64_MAX), SEC_DONE);
    assert_text(bench_ids(&bench), "1 2");
    assert_text(bench_tx(&bench, "c"), "NL");
    bench_begin(&bench, "ARGS_GET:ip=192.0.2.1\nARGS_GET:ip=192.0.2.2");
    bench.run.geo = &geo;
    assert_int_equal(bench_run(&bench, UINT64_MAX), SEC_DONE);
    assert_text(bench_ids(&bench), "1 3"); /* GEO is of the last address */
    bench_begin(&bench, "ARGS_GET:ip=192.0.2.1");
    assert_int_equal(bench_run(&bench, UINT64_MAX), SEC_DONE);
    assert_text(bench_ids(&bench), "3");
    bench_unload(&bench);
}

static void what_records_may_not_show(void **state)
{
    struct bench bench;
    (void)state;
    bench_load(&bench, "SecAction \"id:1,phase:1,pass,nolog,sanitiseArg:%{ARGS.which},"
                       "sanitiseRequestHeader:X-Key\"\n"
                       "SecRule ARGS|QUERY_STRING \"@rx secret\" "
                       "\"id:2,phase:1,pass,log,sanitiseMatched\"");
    bench_begin(&bench, "ARGS_GET:which=pin\nARGS_GET:a=secret\nARGS_GET:b=secret\n"
                        "ARGS_GET:a=secret\nQUERY_STRING=secret");
    assert_int_equal(bench_run(&bench, UINT64_MAX), SEC_DONE);
    static const char *const names[] = { "QUERY_STRING", "b", "a", "X-Key", "pin" };
    const struct sec_hidden *hidden = bench.run.hidden;
    for (size_t i = 0; i < ARRAY_LEN(names); i++, hidden = hidden->next)
        assert_span(hidden->name, span_text(names[i]));
    assert_null(hidden);
    bench_unload(&bench);
}

/* ---- limits ---------------------------------------------------------------------------------
 */

static void a_spent_budget_ends_it(void **state)
{
    struct bench bench;
    (void)state;
    bench_load(&bench, "SecRule ARGS \"@rx ab\" \"id:1,phase:2,pass,log,t:none\"");
    bench_begin(&bench, "ARGS_GET:x=ab\nARGS_GET:y=ab");
    assert_int_equal(bench_run(&bench, UINT64_MAX), SEC_DONE);
    uint64_t work = bench.run.work;

    bench_begin(&bench, "ARGS_GET:x=ab\nARGS_GET:y=ab");
    bench.run.budget = work;
    assert_int_equal(bench_run(&bench, UINT64_MAX), SEC_DONE);
    assert_int_equal(bench.run.work, work);

    bench_begin(&bench, "ARGS_GET:x=ab\nARGS_GET:y=ab");
    bench.run.budget = work - 1;
    assert_int_equal(bench_run(&bench, UINT64_MAX), SEC_SPENT);
    bench_unload(&bench);
}

static void matches_beyond_the_limit_are_counted(void **state)
{
    struct bench bench;
    (void)state;
    bench_load(&bench, "SecRule ARGS \"@rx a\" \"id:1,phase:2,pass,log,setvar:tx.n=+1\"\n"
                       "SecRule ARGS \"@rx a\" \"id:2,phase:2,pass,log\"");
    bench_begin(&bench, "");
    for (unsigned i = 0; i < RUN_MATCHES_MAX + 3; i++)
        assert_int_equal(sec_values_add(&bench.run.values, VAR_ARGS_GET, SPAN("x"), SPAN("a")),
                         OK);
    assert_int_equal(bench_run(&bench, UINT64_MAX), SEC_DONE);
    /* The second rule's first one is among those that are kept. */
    assert_int_equal(bench.run.match_count, RUN_MATCHES_MAX + 1);
    assert_int_equal(bench.run.matches_dropped, 3 + RUN_MATCHES_MAX + 2);
    assert_text(bench_tx(&bench, "n"), "259");
    bench_unload(&bench);
}

static void variables_beyond_the_limit_spend_the_budget(void **state)
{
    struct bench bench;
    (void)state;
    bench_load(&bench, "SecRule ARGS \"@rx a\" "
                       "\"id:1,phase:2,pass,nolog,setvar:tx.v_%{MATCHED_VAR_NAME}=1\"");
    for (unsigned over = 0; over < 2; over++) {
        bench_begin(&bench, "");
        for (unsigned i = 0; i < RUN_VARIABLES_MAX + over; i++) {
            struct text key = text_growing(&bench.arena, 16);
            text_uint(&key, i);
            assert_int_equal(
                sec_values_add(&bench.run.values, VAR_ARGS_GET, text_span(&key), SPAN("a")),
                OK);
        }
        assert_int_equal(bench_run(&bench, UINT64_MAX), over ? SEC_SPENT : SEC_DONE);
    }
    bench_unload(&bench);
}

static void memory_that_ends_is_said(void **state)
{
    struct bench bench;
    (void)state;
    bench_load(&bench, "SecRule ARGS \"@rx a\" \"id:1,phase:2,pass,log,t:none,capture,"
                       "msg:'%{MATCHED_VAR} %{MATCHED_VAR_NAME}'\"");
    bench_begin(&bench, "ARGS_GET:x=a");
    arena_reset(&bench.arena);
    arena_init(&bench.arena, NULL, 0, NULL, 64 * 1024);
    assert_int_equal(sec_run_init(&bench.run, bench.plan, &bench.local, &bench.arena), OK);
    assert_int_equal(sec_values_add(&bench.run.values, VAR_ARGS_GET, SPAN("x"), SPAN("a")), OK);
    while (arena_alloc(&bench.arena, 16) != NULL) {
    }
    assert_int_equal(bench_run(&bench, UINT64_MAX), SEC_MEMORY);
    bench_unload(&bench);
}

static uint64_t scans_of(struct bench *bench, const char *value)
{
    bench_begin(bench, value);
    assert_int_equal(bench_run(bench, UINT64_MAX), SEC_DONE);
    assert_int_equal(bench->run.counts.entries, 0);
    return bench->run.counts.scans;
}

/* Each distinct text is scanned once, one that has no byte that is needed not at all; and case
 * that means nothing makes no text of its own. */
static void equal_forms_are_scanned_once(void **state)
{
    struct bench bench;
    (void)state;
    bench_load(&bench, "SecRule ARGS \"@rx aa\" \"id:1,phase:2,pass,t:none\"\n"
                       "SecRule ARGS \"@rx bb\" \"id:2,phase:2,pass,t:none,t:lowercase\"\n"
                       "SecRule ARGS \"@rx cc\" \"id:3,phase:2,pass,t:none,t:urlDecodeUni\"\n");
    assert_int_equal(scans_of(&bench, "ARGS_GET:x=abc"), 1);
    assert_int_equal(scans_of(&bench, "ARGS_GET:x=ABC"), 1);
    assert_int_equal(scans_of(&bench, "ARGS_GET:x=a%62c"), 2);
    bench_unload(&bench);
    bench_load(&bench, "SecRule ARGS \"@rx <a\" \"id:1,phase:2,pass,t:none\"\n");
    assert_int_equal(scans_of(&bench, "ARGS_GET:x=a>b"), 0);
    assert_int_equal(scans_of(&bench, "ARGS_GET:x=a<b"), 1);
    bench_unload(&bench);
}

/* Chains that make a value longer than any memory: refused for lack of it, never overrun. */
static void texts_that_no_memory_holds(void **state)
{
    char rules[4096];
    struct text out = text_fixed(rules, sizeof(rules) - 1);
    struct bench bench;
    (void)state;
    text_lit(&out, "SecRule ARGS \"@rx aa\" \"id:1,phase:2,pass,t:none");
    for (unsigned i = 0; i < 31; i++)
        text_lit(&out, ",t:utf8toUnicode");
    text_lit(&out, "\"\nSecRule ARGS \"@rx bb\" \"id:2,phase:2,pass,t:none,t:trim");
    for (unsigned i = 0; i < 31; i++)
        text_lit(&out, ",t:utf8toUnicode");
    text_lit(&out, "\"\n");
    bench_load(&bench, text_cstring(&out));
    bench_begin(&bench, "ARGS_GET:x=a b\xc3\xa4");
    assert_int_equal(bench_run(&bench, UINT64_MAX), SEC_MEMORY);
    bench_unload(&bench);
}

/* One value cannot take much more than the budget: it is looked at between texts, too. */
static void a_long_value_spends_the_budget(void **state)
{
    enum { LONG = 4096, BUDGET = 2000 };
    static char value[LONG + 32] = "ARGS_GET:x=";
    struct bench bench;
    (void)state;
    memset(value + 11, '%', LONG);
    bench_load(&bench,
               "SecRule ARGS \"@rx a%b\" \"id:1,phase:2,pass,t:none,t:urlDecode\"\n"
               "SecRule ARGS \"@rx c%d\" \"id:2,phase:2,pass,t:none,t:htmlEntityDecode\"\n"
               "SecRule ARGS \"@rx e%f\" \"id:3,phase:2,pass,t:none,t:sqlHexDecode\"\n");
    bench_begin(&bench, value);
    bench.run.budget = BUDGET;
    assert_int_equal(bench_run(&bench, UINT64_MAX), SEC_SPENT);
    assert_true(bench.run.work < BUDGET + 2 * LONG);
    bench_unload(&bench);
}

static void expect(struct bench *bench, const char *value, const char *ids)
{
    bench_begin(bench, value);
    assert_int_equal(bench_run(bench, UINT64_MAX), SEC_DONE);
    struct span got = bench_ids(bench);
    if (!span_equal(got, span_text(ids)))
        fail_msg("%s: %.*s, not %s", value, (int)got.len, got.p, ids);
}

/* A rule that looks at one variable is looked at once that is set, in its phase or an earlier
 * one, and a name's beginning is told without a matcher. */
static void rules_wait_for_variables(void **state)
{
    struct bench bench;
    (void)state;
    bench_load(&bench,
               "SecRule ARGS \"@rx a\" \"id:1,phase:2,pass,nolog,t:none,setvar:tx.seen=1\"\n"
               "SecRule TX:seen \"@eq 1\" \"id:2,phase:2,pass,log,t:none\"\n"
               "SecRule TX:Seen \"!@eq 2\" \"id:3,phase:4,pass,log,t:none\"\n"
               "SecRule TX:seen \"@eq 1\" \"id:4,phase:4,pass,nolog,t:none,setvar:!tx.seen\"\n"
               "SecRule TX:seen \"!@eq 2\" \"id:5,phase:4,pass,log,t:none\"\n"
               "SecRule ARGS \"@rx b\" \"id:6,phase:2,pass,nolog,t:none,"
               "setvar:tx.KEY_%{MATCHED_VAR}=x\"\n"
               "SecRule TX:/^key_/ \"@streq x\" \"id:7,phase:3,pass,log,t:none\"\n"
               "SecRule TX:/^ey_/ \"@streq x\" \"id:8,phase:3,pass,log,t:none\"\n");
    expect(&bench, "ARGS_GET:x=a", "2 3");
    expect(&bench, "ARGS_GET:x=c", "");
    assert_int_equal(bench.run.counts.entries, 0);
    expect(&bench, "ARGS_GET:x=b", "7");
    expect(&bench, "ARGS_GET:x=ab", "2 7 3");
    bench_unload(&bench);
}

/* What browsers send with every request is looked at twice, and its finds are kept with it;
 * what could be a secret never is. Others keep nothing from staying known. */
static void values_that_come_again(void **state)
{
    static const struct {
        const char *value;
        bool kept;
    } rows[] = {
        { "REQUEST_HEADERS:Accept=some evil", true },
        { "REQUEST_HEADERS:SEC-CH-ua=some evil and other", true },
        { "REQUEST_METHOD=evil", true },
        { "REQUEST_HEADERS:Authorization=some evil", false },
        { "REQUEST_HEADERS:Accept-Token=some evil", false },
        { "REQUEST_COOKIES:a=some evil", false },
    };
    struct bench bench;
    (void)state;
    bench_load(&bench, "SecRule REQUEST_HEADERS|REQUEST_METHOD|REQUEST_COOKIES \"@rx e.il\" "
                       "\"id:1,phase:1,pass,log,t:none\"\n"
                       "SecRule REQUEST_HEADERS \"!@rx other\" "
                       "\"id:2,phase:1,pass,nolog,t:none,setvar:tx.none=1\"\n");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        expect(&bench, rows[i].value, "1");
        uint64_t work = bench.run.work, scans = bench.run.counts.scans;
        expect(&bench, rows[i].value, "1");
        assert_int_equal(bench.run.work, work);
        assert_int_equal(bench.run.counts.scans, scans);
        expect(&bench, rows[i].value, "1");
        assert_int_equal(bench.run.work, work);
        if ((bench.run.counts.scans == 0) != rows[i].kept || scans == 0)
            fail_msg("%s is %s", rows[i].value, rows[i].kept ? "not kept" : "kept");
    }
    for (unsigned i = 0; i < 10000; i++) {
        char other[64];
        (void)snprintf(other, sizeof(other), "REQUEST_HEADERS:Accept=evil %u", i);
        expect(&bench, other, "1");
        assert_true(bench.run.counts.scans > 0);
    }
    expect(&bench, rows[0].value, "1");
    assert_int_equal(bench.run.counts.scans, 0);
    bench_unload(&bench);
}

/* Rules that lower case takes nothing from: with it and without they find the same. */
static void case_of_letters(void **state)
{
    static const char rules[] =
        "SecRule ARGS \"@rx aa\" \"id:1,phase:2,pass,log,t:none\"\n"
        "SecRule ARGS \"@rx aa\" \"id:2,phase:2,pass,log,t:none,t:lowercase\"\n"
        "SecRule ARGS \"@rx AA\" \"id:3,phase:2,pass,log,t:none,t:lowercase\"\n"
        "SecRule ARGS \"@rx [!-Z]a\" \"id:4,phase:2,pass,log,t:none,t:lowercase\"\n"
        "SecRule ARGS \"@rx [^A]\" \"id:5,phase:2,pass,log,t:none,t:lowercase\"\n"
        "SecRule ARGS \"@rx ^a b$\" \"id:6,phase:2,pass,log,t:none,t:cmdLine\"\n"
        "SecRule ARGS \"@rx ^a B$\" \"id:7,phase:2,pass,log,t:none,t:cmdLine\"\n"
        "SecRule ARGS \"@pm aab\" \"id:8,phase:2,pass,log,t:none,t:lowercase,"
        "t:removeWhitespace\"\n"
        "SecRule ARGS \"@rx \\x41\" \"id:9,phase:2,pass,log,t:none,t:lowercase\"\n"
        "SecRule ARGS \"@rx a#b\" \"id:10,phase:2,pass,log,t:none,t:lowercase,t:jsDecode\"\n";
    struct bench bench;
    (void)state;
    bench_load(&bench, rules);
    expect(&bench, "ARGS_GET:x=aa", "1 2 5");
    expect(&bench, "ARGS_GET:x=AA", "2 5");
    expect(&bench, "ARGS_GET:x=A^ ;B", "5 6");
    expect(&bench, "ARGS_GET:x=A A b", "5 8");
    expect(&bench, "ARGS_GET:x=A\\X23B", "5 10");
    bench_unload(&bench);
}

int main(void)
{
    return RUN(TEST(rules_in_order), TEST(decisions), TEST(variables), TEST(targets),
               TEST(ways_of_matching), TEST(says_where_it_matched),
               TEST(of_a_chain_the_last_link_speaks), TEST(a_match_tells_how_its_text_was_made),
               TEST(geo_by_callback), TEST(what_records_may_not_show),
               TEST(a_spent_budget_ends_it), TEST(matches_beyond_the_limit_are_counted),
               TEST(variables_beyond_the_limit_spend_the_budget),
               TEST(memory_that_ends_is_said), TEST(equal_forms_are_scanned_once),
               TEST(rules_wait_for_variables), TEST(values_that_come_again),
               TEST(case_of_letters), TEST(texts_that_no_memory_holds),
               TEST(a_long_value_spends_the_budget));
}
