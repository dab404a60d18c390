/* Certificates for tests. Whatever fails here is the test's own fault and ends it. */
#include "tests/unit/net/pki.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

void pki_open(struct pki *pki)
{
    (void)snprintf(pki->folder, sizeof(pki->folder), "%s/pki-XXXXXX", P_tmpdir);
    INVARIANT(mkdtemp(pki->folder) != NULL);
}

void pki_close(struct pki *pki)
{
    DIR *folder = opendir(pki->folder);
    INVARIANT(folder != NULL);
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;)
        if (entry->d_name[0] != '.')
            INVARIANT(unlinkat(dirfd(folder), entry->d_name, 0) == 0);
    (void)closedir(folder);
    INVARIANT(rmdir(pki->folder) == 0);
}

struct span pki_path(const struct pki *pki, const char *name, char path[static PKI_PATH_BYTES])
{
    int len = snprintf(path, PKI_PATH_BYTES, "%s/%s", pki->folder, name);
    INVARIANT(len > 0 && len < PKI_PATH_BYTES);
    return span_of(path, (size_t)len);
}

static void add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    INVARIANT(extension != NULL && X509_add_ext(cert, extension, -1) == 1);
    X509_EXTENSION_free(extension);
}

struct pki_pair pki_make(const struct pki_spec *spec)
{
    static long serial = 1000;
    struct pki_pair pair = { X509_new(), EVP_EC_gen("P-256") };
    X509 *cert = pair.cert;
    INVARIANT(cert != NULL && pair.key != NULL);
    bool usual = spec->from_s == 0 && spec->to_s == 0;
    INVARIANT(X509_set_version(cert, X509_VERSION_3) == 1);
    INVARIANT(ASN1_INTEGER_set(X509_get_serialNumber(cert), serial++) == 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), usual ? -3600 : spec->from_s);
    X509_gmtime_adj(X509_getm_notAfter(cert), usual ? 86400 : spec->to_s);
    X509_NAME *name = X509_get_subject_name(cert);
    INVARIANT(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                                         (const unsigned char *)spec->name, -1, -1, 0) == 1);
    const struct pki_pair *issuer = spec->issuer != NULL ? spec->issuer : &pair;
    INVARIANT(X509_set_issuer_name(cert, X509_get_subject_name(issuer->cert)) == 1);
    INVARIANT(X509_set_pubkey(cert, pair.key) == 1);
    add_extension(cert, issuer->cert, NID_basic_constraints,
                  spec->ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
    add_extension(cert, issuer->cert, NID_subject_key_identifier, "hash");
    if (spec->alt != NULL)
        add_extension(cert, issuer->cert, NID_subject_alt_name, spec->alt);
    INVARIANT(X509_sign(cert, issuer->key, EVP_sha256()) > 0);
    return pair;
}

void pki_free(struct pki_pair *pair)
{
    X509_free(pair->cert);
    EVP_PKEY_free(pair->key);
    *pair = (struct pki_pair){ NULL, NULL };
}

static FILE *create(const struct pki *pki, const char *name)
{
    char path[PKI_PATH_BYTES];
    (void)pki_path(pki, name, path);
    FILE *file = fopen(path, "wb");
    INVARIANT(file != NULL);
    return file;
}

void pki_save(const struct pki *pki, const char *name, const void *bytes, size_t len)
{
    FILE *file = create(pki, name);
    INVARIANT(fwrite(bytes, 1, len, file) == len);
    INVARIANT(fclose(file) == 0);
}

void pki_save_certs(const struct pki *pki, const char *name, const struct pki_pair *pairs,
                    size_t count)
{
    FILE *file = create(pki, name);
    for (size_t i = 0; i < count; i++)
        INVARIANT(PEM_write_X509(file, pairs[i].cert) == 1);
    INVARIANT(fclose(file) == 0);
}

void pki_save_key(const struct pki *pki, const char *name, const struct pki_pair *pair,
                  const char *passphrase)
{
    FILE *file = create(pki, name);
    const EVP_CIPHER *cipher = passphrase != NULL ? EVP_aes_128_cbc() : NULL;
    INVARIANT(PEM_write_PKCS8PrivateKey(file, pair->key, cipher, passphrase,
                                        passphrase != NULL ? (int)strlen(passphrase) : 0, NULL,
                                        NULL) == 1);
    INVARIANT(fclose(file) == 0);
}

void pki_save_staple(const struct pki *pki, const char *name, const struct pki_pair *pair,
                     const struct pki_pair *issuer, long to_s)
{
    OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
    OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha1(), pair->cert, issuer->cert);
    ASN1_TIME *from = X509_gmtime_adj(NULL, -7200);
    ASN1_TIME *to = X509_gmtime_adj(NULL, to_s);
    INVARIANT(basic != NULL && id != NULL && from != NULL && to != NULL);
    INVARIANT(OCSP_basic_add1_status(basic, id, V_OCSP_CERTSTATUS_GOOD, 0, NULL, from, to) !=
              NULL);
    INVARIANT(OCSP_basic_sign(basic, issuer->cert, issuer->key, EVP_sha256(), NULL, 0) == 1);
    OCSP_RESPONSE *response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
    unsigned char *der = NULL;
    int len = i2d_OCSP_RESPONSE(response, &der);
    INVARIANT(len > 0);
    pki_save(pki, name, der, (size_t)len);
    OPENSSL_free(der);
    OCSP_RESPONSE_free(response);
    OCSP_BASICRESP_free(basic);
    OCSP_CERTID_free(id);
    ASN1_TIME_free(from);
    ASN1_TIME_free(to);
}
