/* Reasons as a table; see reason.def. */
#include "gateway/chain/stage.h"

static const struct reason_row rows[REASON_COUNT] = {
#define REASON(name, slug, status, title, text) [REASON_##name] = { slug, status, title, text },
#include "gateway/chain/reason.def"
#undef REASON
};

const struct reason_row *reason_row(enum reason reason)
{
    INVARIANT(reason < REASON_COUNT);
    return &rows[reason];
}
