/* At load only. */
#include "auth/lend.h"

#include "conf/schema.h"
#include "gateway/http/names.h"

bool lend_name_valid(struct setup *setup, const char *option, struct span name)
{
    static const char others[] = "!#$%&'*+-.^_`|~"; /* RFC 9110 section 5.6.2 */
    bool token = name.len <= 64;
    for (size_t i = 0; i < name.len; i++) {
        char c = ascii_lower(name.p[i]);
        token &= (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                 (c != '\0' && strchr(others, c) != NULL);
    }
    if (token && (name.len == 0 || field_id_of_alias(name) == FIELD_OTHER))
        return true;
    complain(setup->complaint, SEVERITY_ERROR,
             "%s is a field of its own, such as X-Remote-User", option);
    return false;
}

bool realm_valid(struct setup *setup, struct span realm)
{
    bool good = realm.len <= REALM_BYTES_MAX;
    for (size_t i = 0; i < realm.len; i++) {
        unsigned char c = (unsigned char)realm.p[i];
        good &= c >= 0x20 && c != 0x7f && c != '"' && c != '\\';
    }
    if (!good)
        complain(
            setup->complaint, SEVERITY_ERROR,
            "realm has at most %d bytes, without quotes, backslashes and control characters",
            REALM_BYTES_MAX);
    return good;
}
