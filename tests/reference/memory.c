/* Memory and text that cannot fail, because the program ends. */
#include <stdio.h>

#include "gateway/base/text.h"
#include "tests/reference/transaction.h"

void *must(void *ptr)
{
    INVARIANT(ptr != NULL);
    return ptr;
}

struct span number_text(struct arena *arena, int64_t number)
{
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%lld", (long long)number);
    return arena_copy(arena, span_of(digits, (size_t)len));
}

struct span join(struct arena *arena, struct span a, struct span b, struct span c)
{
    struct text text = text_growing(arena, a.len + b.len + c.len + 1);
    text_add(&text, a);
    text_add(&text, b);
    text_add(&text, c);
    INVARIANT(!text.overflow);
    return text_span(&text);
}
