/*
 * What the machine has: kernel, limits, clock, files, certificates.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

#include "gateway/acme/store.h"
#include "gateway/base/secret.h"
#include "gateway/cli/doctor.h"
#include "gateway/load_rows.h"
#include "gateway/process/process.h"
#include "gateway/process/settings.h"
#include "rules/engine/cache.h"

enum { DESCRIPTORS_MIN = 4096, EXPIRES_SOON_DAYS = 21, CLOCK_ERROR_US = 1000000 };

/* ---- kernel and limits ---- */

static bool jit_works(void)
{
    int error;
    PCRE2_SIZE at;
    pcre2_code *code =
        pcre2_compile((PCRE2_SPTR) "a+b", PCRE2_ZERO_TERMINATED, 0, &error, &at, NULL);
    bool works = code != NULL && pcre2_jit_compile(code, PCRE2_JIT_COMPLETE) == 0;
    pcre2_code_free(code);
    return works;
}

void doctor_kernel(struct doctor *doctor)
{
    int abi = sandbox_landlock_abi();
    if (abi > 0)
        doctor_say(doctor, HEALTH_GOOD, "kernel", "landlock, version %d", abi);
    else
        doctor_say(doctor, HEALTH_WARN, "kernel",
                   "no landlock: processes are confined by user, capabilities and system calls "
                   "alone");
    errno = 0;
    if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) >= 0)
        doctor_say(doctor, HEALTH_GOOD, "kernel", "seccomp");
    else
        doctor_say(doctor, HEALTH_BAD, "kernel", "no seccomp: the workers do not start");
    if (jit_works())
        doctor_say(doctor, HEALTH_GOOD, "kernel", "PCRE2 compiles to machine code");
    else
        doctor_say(doctor, HEALTH_WARN, "kernel",
                   "PCRE2 cannot compile to machine code here (MemoryDenyWriteExecute?): what "
                   "Hyperscan does not take is slower");
}

void doctor_limits(struct doctor *doctor)
{
    struct rlimit files;
    uint64_t wanted = (uint64_t)doctor->config->server.limits.connections * 2 + 256;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0)
        return;
    if (files.rlim_max < wanted || files.rlim_max < DESCRIPTORS_MIN)
        doctor_say(
            doctor, HEALTH_WARN, "limits",
            "%llu open files at most, %llu wanted for server.limits.connections: accepting "
            "will pause",
            (unsigned long long)files.rlim_max, (unsigned long long)wanted);
    else
        doctor_say(doctor, HEALTH_GOOD, "limits", "%llu open files at most",
                   (unsigned long long)files.rlim_max);
}

void doctor_clock(struct doctor *doctor)
{
    struct timex timex = { .modes = 0 };
    int state = adjtimex(&timex);
    if (state < 0)
        doctor_say(doctor, HEALTH_WARN, "clock", "the kernel does not say whether it is right");
    else if (state == TIME_ERROR || (timex.status & STA_UNSYNC) != 0)
        doctor_say(doctor, HEALTH_WARN, "clock",
                   "nothing keeps it right (NTP): tokens and certificates are judged by it");
    else if (timex.maxerror > CLOCK_ERROR_US)
        doctor_say(doctor, HEALTH_WARN, "clock", "it may be %ld ms off", timex.maxerror / 1000);
    else
        doctor_say(doctor, HEALTH_GOOD, "clock", "synchronised, at most %ld ms off",
                   timex.maxerror / 1000);
}

/* ---- files ---- */

static void check_secret_file(struct doctor *doctor, const char *what, struct span path)
{
    struct stat info;
    if (path.len == 0)
        return;
    if (stat(path.p, &info) != 0)
        doctor_say(doctor, HEALTH_BAD, "permissions", "%s %s: %s", what, path.p,
                   strerrordesc_np(errno));
    else if ((info.st_mode & S_IRWXO) != 0)
        doctor_say(doctor, HEALTH_BAD, "permissions", "%s %s is open to everybody (mode %03o)",
                   what, path.p, (unsigned)info.st_mode & 0777);
    else
        doctor_say(doctor, HEALTH_GOOD, "permissions", "%s %s", what, path.p);
}

static void check_audit_folder(struct doctor *doctor)
{
    char folder[SETTINGS_PATH_BYTES];
    struct stat info;
    const struct path *file = &doctor->config->audit.file;
    if (!doctor->config->audit.on || file->text.len == 0)
        return;
    if (!settings_folder(folder, sizeof(folder), file->text.p) || stat(folder, &info) != 0)
        doctor_say(doctor, HEALTH_BAD, "permissions", "the folder of audit.file is not there");
    else if (access(folder, W_OK) != 0)
        doctor_say(doctor, HEALTH_BAD, "permissions", "%s: %s, so audit files cannot be made",
                   folder, strerrordesc_np(errno));
    else if ((info.st_mode & S_IWOTH) != 0 && (info.st_mode & S_ISVTX) == 0)
        doctor_say(doctor, HEALTH_WARN, "permissions",
                   "everybody may delete files in %s, the audit log among them", folder);
    else
        doctor_say(doctor, HEALTH_GOOD, "permissions", "audit files can be made in %s", folder);
}

void doctor_files(struct doctor *doctor)
{
    const struct config *config = doctor->config;
    check_audit_folder(doctor);
    for (size_t i = 0; i < config->site_count; i++)
        if (config->sites[i].conf != NULL)
            check_secret_file(doctor, "private key", config->sites[i].conf->tls.key.text);
    for (size_t i = 0; i < config->key_file_count; i++)
        check_secret_file(doctor, "API keys", config->key_files[i].path);
}

void doctor_cache(struct doctor *doctor)
{
    const struct cache_conf *conf = &doctor->config->server.cache;
    const char *why = NULL;
    if (conf->mode != 0 || conf->folder.text.len == 0) {
        doctor_say(doctor, HEALTH_WARN, "cache",
                   "compiled rules are not kept: each start compiles them");
        return;
    }
    struct cache *cache = cache_open(conf->folder.text.p, conf->size, &why);
    if (cache == NULL)
        doctor_say(doctor, HEALTH_WARN, "cache", "%s cannot be used: %s", conf->folder.text.p,
                   why != NULL ? why : "no reason given");
    else
        doctor_say(doctor, HEALTH_GOOD, "cache", "%s", conf->folder.text.p);
    if (cache != NULL)
        cache_close(cache);
}

/* ---- certificates ---- */

static void check_certificate(struct doctor *doctor, const char *site, struct span path)
{
    int days = 0, seconds = 0;
    FILE *file = fopen(path.p, "re");
    X509 *cert = file != NULL ? PEM_read_X509(file, NULL, NULL, NULL) : NULL;
    if (file != NULL)
        (void)fclose(file);
    if (cert == NULL || ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(cert)) != 1)
        doctor_say(doctor, HEALTH_BAD, "certificate", "%s: %s cannot be read", site, path.p);
    else if (days < 0 || seconds < 0)
        doctor_say(doctor, HEALTH_BAD, "certificate", "%s: %s ran out %d days ago", site,
                   path.p, -days);
    else if (days < EXPIRES_SOON_DAYS)
        doctor_say(doctor, HEALTH_WARN, "certificate", "%s: %s runs out in %d days", site,
                   path.p, days);
    else
        doctor_say(doctor, HEALTH_GOOD, "certificate", "%s: good for %d days", site, days);
    X509_free(cert);
}

/* What the gateway got by itself; its folder is for its own user, and root. */
static void check_got(struct doctor *doctor, int folder, const struct acme_site *one)
{
    enum { DAY_S = 24 * 3600, LATE_PART = 4 };
    struct acme_hosts hosts = { one->site->hosts, one->site->host_count };
    const char *site = one->site->name;
    char name[ACME_NAME_MAX];
    struct acme_dates dates = { .until_s = 0 };
    struct acme_tries tries;
    struct span bundle;
    struct arena arena;

    arena_init(&arena, NULL, 0, NULL, 2 * ACME_FILE_MAX);
    acme_store_name(name, doctor->config->acme.directory, hosts);
    acme_tries_read(folder, name, &tries);
    const char *why = acme_store_read(folder, name, &arena, &bundle);
    if (why == NULL && bundle.len > 0)
        why = acme_bundle_read(bundle, hosts, &dates);
    int64_t left = why == NULL && bundle.len > 0 ? dates.until_s - (int64_t)time(NULL) : 0;
    if (why != NULL)
        doctor_say(doctor, HEALTH_BAD, "certificate", "%s: %s: %s", site, name, why);
    else if (bundle.len == 0)
        doctor_say(doctor, HEALTH_WARN, "certificate", "%s: none yet", site);
    else if (left <= 0)
        doctor_say(doctor, HEALTH_BAD, "certificate", "%s: it has run out", site);
    else
        doctor_say(doctor,
                   left < (dates.until_s - dates.from_s) / LATE_PART ? HEALTH_WARN
                                                                     : HEALTH_GOOD,
                   "certificate", "%s: good for %lld days", site, (long long)(left / DAY_S));
    if (tries.failures > 0)
        doctor_say(doctor, HEALTH_WARN, "certificate", "%s: %u orders failed, the last one: %s",
                   site, tries.failures, tries.why);
    if (bundle.len > 0)
        wipe((void *)(uintptr_t)bundle.p, bundle.len);
    arena_reset(&arena);
}

static void check_all_got(struct doctor *doctor)
{
    const struct acme_conf *acme = &doctor->config->acme;
    if (acme->site_count == 0)
        return;
    int folder = acme_store_open(acme->folder.text.p);
    if (folder < 0)
        doctor_say(doctor, HEALTH_WARN, "certificate", "acme.folder %s: %s",
                   acme->folder.text.p, strerrordesc_np(errno));
    for (size_t i = 0; folder >= 0 && i < acme->site_count; i++)
        check_got(doctor, folder, &acme->sites[i]);
    if (folder >= 0)
        (void)close(folder);
}

void doctor_certificates(struct doctor *doctor)
{
    const struct config *config = doctor->config;
    check_all_got(doctor);
    for (size_t i = 0; i < config->site_count; i++) {
        const struct site *site = &config->sites[i];
        if (site->conf != NULL && site->conf->tls.cert.text.len > 0)
            check_certificate(doctor, site->name, site->conf->tls.cert.text);
    }
}
