/*
 * What is sealed in a session, read back: what is whole is written again as the same bytes, and
 * no part lies outside. And addresses to return to: what is safe begins with one slash and has
 * nothing that a browser reads as another site.
 */
#include "auth/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void inside(struct span part, struct span all)
{
    INVARIANT(part.len == 0 || (part.p >= all.p && span_end(part) <= span_end(all)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct session_content content;
    struct span site, all = span_of((const char *)data, size);
    if (size > SESSION_VALUE_MAX)
        return 0;
    arena_init(&arena, NULL, 0, NULL, 1 << 20);
    if (session_content_read(all, &arena, &site, &content)) {
        struct text out = text_growing(&arena, size + 1);
        inside(content.identity->user, all);
        inside(content.extra, all);
        for (size_t i = 0; i < content.identity->group_count; i++)
            inside(content.identity->groups[i], all);
        INVARIANT(session_content_write(&out, site, &content));
        INVARIANT(span_equal(text_span(&out), all));
    }
    if (return_target_safe(all)) {
        INVARIANT(all.p[0] == '/' && (all.len == 1 || all.p[1] != '/'));
        INVARIANT(span_index(all, '\\') < 0 && span_index(all, '\t') < 0 &&
                  span_index(all, '\n') < 0 && span_index(all, '\r') < 0);
    }
    arena_reset(&arena);
    return 0;
}
