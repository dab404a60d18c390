/* The texts of the operating errors, and the end of a process that met a programmer's error. */
#include "gateway/base/base.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "gateway/base/json.h"

static const char *const texts[] = {
#define ERR(name, text) [name] = text,
#include "gateway/base/err.def"
#undef ERR
};

const char *err_text(enum err err)
{
    return (unsigned)err < ARRAY_LEN(texts) ? texts[err] : "an error without a name";
}

/* Touches no allocator and no lock: the state of the process is not to be trusted any more. */
void invariant_failed(const char *condition, const char *file, int line)
{
    char buffer[1024];
    struct text out = text_fixed(buffer, sizeof(buffer) - 1);
    struct json j = json_writer(&out);
    json_begin_object(&j, NULL);
    json_text(&j, "level", SPAN("fatal"));
    json_text(&j, "message", SPAN("invariant failed"));
    json_text(&j, "condition", span_text(condition));
    json_text(&j, "file", span_text(file));
    json_int(&j, "line", line);
    json_end_object(&j);
    buffer[out.len] = '\n';
    while (write(STDERR_FILENO, buffer, out.len + 1) < 0 && errno == EINTR)
        continue;
    abort();
}
