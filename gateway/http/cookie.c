/* Cookies in the reading of mod_security2. */
#include "gateway/http/cookie.h"

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

enum err cookies_split_v0(struct params *params, struct span text, unsigned limit,
                          struct arena *arena)
{
    struct span rest = text, piece;

    while (span_cut(&rest, ';', &piece)) {
        while (piece.len > 0 && is_blank(piece.p[0]))
            piece = span_sub(piece, 1, piece.len);
        ssize_t equals = span_index(piece, '=');
        size_t len = equals < 0 ? piece.len : (size_t)equals;
        if (len == 0)
            continue;
        struct param param = { span_sub(piece, 0, len),
                               equals < 0 ? SPAN("") : span_sub(piece, len + 1, piece.len) };
        TRY(params_push(params, param, limit, arena));
    }
    return OK;
}
