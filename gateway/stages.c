/*
 * The inspection chain, in order, one line a stage. Order is code and not configuration: the
 * allow-list comes before everything that blocks, so that an operator is never locked out;
 * address limits come before the dear work; rules before authentication, so that an exploit
 * against a gated route leaves its signature and not only a 401.
 */
#include "gateway/stages.h"

#include "auth/apikeys.h"
#include "auth/basic.h"
#include "auth/bots/bots.h"
#include "auth/certificate.h"
#include "auth/cors.h"
#include "auth/forward.h"
#include "auth/headers.h"
#include "auth/identity.h"
#include "auth/jwt.h"
#include "auth/login.h"
#include "auth/oidc.h"
#include "auth/policy.h"
#include "auth/reqfields.h"
#include "geoip/lists.h"
#include "ratelimit/bans.h"
#include "ratelimit/limits.h"
#include "rules/restrict.h"
#include "rules/waf.h"

const struct stage_type *const stages[] = {
    &allow_stage,           /* geoip/lists: who is always let in, or the only ones let in */
    &bans_stage,            /* ratelimit/bans: who is kept out for a while */
    &deny_stage,            /* geoip/lists: address lists */
    &bots_stage,            /* auth/bots: programs that pretend */
    &restrict_stage,        /* rules/restrict: methods, sizes, counts */
    &limits_stage,          /* ratelimit/limits: token buckets by address */
    &cors_stage,            /* auth/cors: preflights, which carry no password */
    &waf_stage,             /* rules/waf: own rules */
    &certificate_stage,     /* auth/certificate: whom TLS has verified */
    &api_keys_stage,        /* auth/apikeys: keys of programs */
    &jwt_stage,             /* auth/jwt: bearer tokens */
    &basic_stage,           /* auth/basic: name and password */
    &login_stage,           /* auth/login: a form, and a session */
    &oidc_stage,            /* auth/oidc: a provider, and a session */
    &forward_auth_stage,    /* auth/forward: another server's word */
    &policy_stage,          /* auth/policy: what they may do */
    &identity_stage,        /* auth/identity: what upstream is told of them */
    &subject_limits_stage,  /* ratelimit/limits: those by user */
    &limit_costs_stage,     /* ratelimit/limits: what the answer costs */
    &request_headers_stage, /* auth/reqfields: what upstream gets */
    &headers_stage,         /* auth/headers: security fields on the answer */
    NULL,
};
