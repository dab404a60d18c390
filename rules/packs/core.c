/* The pack `core`: what every site can run without tuning. */
#include "rules/packs/pack.h"

#include <stddef.h>

const struct pack_rule *const pack_core[] = {
    pack_sql,      /* SQL and NoSQL injection */
    pack_script,   /* cross-site scripting */
    pack_shell,    /* operating system commands */
    pack_files,    /* path traversal, files that are nobody's business */
    pack_code,     /* code, templates, expressions and objects */
    pack_protocol, /* requests made to be misread, forged or spied out */
    NULL,
};
