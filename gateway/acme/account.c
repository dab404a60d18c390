/* Accounts as they are kept: see account.h. */
#include "gateway/acme/account.h"

#include "auth/strictjson.h"
#include "gateway/base/json.h"
#include "gateway/base/secret.h"

const char *acme_account_read(struct span content, struct span directory,
                              struct acme_account *account)
{
    json_t *object = strict_json_object(content, ACME_JSON_MAX);
    struct span of = strict_json_text(object, "directory");
    struct span url = strict_json_text(object, "account");
    struct span pem = strict_json_text(object, "key");
    const char *why = NULL;

    if (object == NULL)
        why = "it is no JSON object";
    else if (!span_equal(of, directory) || !acme_url_allowed(directory, url))
        why = "it is for another directory";
    else if ((account->key = acme_key_read(pem)) == NULL)
        why = "its key is none";
    if (why == NULL) {
        memcpy(account->url.text, url.p, url.len);
        account->url.text[url.len] = '\0';
    }
    if (pem.len > 0)
        wipe((void *)(uintptr_t)pem.p, pem.len);
    json_decref(object);
    return why;
}

bool acme_account_write(struct text *out, struct span directory,
                        const struct acme_account *account)
{
    char buffer[1024]; /* a key over P-256 has 241 bytes */
    struct text pem = text_fixed(buffer, sizeof(buffer));
    struct json j = json_writer(out);
    bool good = acme_key_write(&pem, account->key);

    json_begin_object(&j, NULL);
    json_text(&j, "directory", directory);
    json_text(&j, "account", span_text(account->url.text));
    json_text(&j, "key", text_span(&pem));
    json_end_object(&j);
    wipe(buffer, sizeof(buffer));
    return good && !out->overflow;
}
