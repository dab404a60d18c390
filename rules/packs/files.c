/* Path traversal, and files that are nobody's business. */
#include <stddef.h>

#include "rules/packs/pack.h"

#define INPUT "args, arg_names, cookies, path, body"
#define DECODE "url_decode, lowercase"
/* A slash, the other slash, and what some servers take for them. */
#define SLASH                                                                                  \
    "(?:[/\\\\]|%2f|%5c|0x2f|0x5c|\\xc0\\xaf|\\xc1\\x9c|\\xe0\\x80\\xaf|%c0%af|%c1%9c|;/)"
#define DOT "(?:\\.|%2e|0x2e|\\xc0\\xae|%c0%ae)"

const struct pack_rule pack_files[] = {
    {
        .name = "path-traversal",
        .message = "Path traversal: two steps up, or one that is hidden",
        .in = INPUT ", referer",
        .transform = DECODE,
        .score = SCORE_CRITICAL,
        .match = { "(?:^|[^.])\\.\\.[/\\\\]+(?:\\.?[/\\\\]+)*\\.\\.(?:[/\\\\]|$)",
                   "\\.\\.(?:%2f|%5c|0x2f|0x5c|\\xc0\\xaf|\\xc1\\x9c|\\xe0\\x80\\xaf|%c0%af|%"
                   "c1%9c|;/)",
                   "(?:%2e|0x2e|\\xc0\\xae|%c0%ae)" DOT SLASH,
                   "\\.{4}[/\\\\]{1,2}(?:\\.|$)|\\.{4}//", "[/\\\\]\\.\\.\\x00",
                   "[/\\\\]\\.\\.\\.[/\\\\]" },
        .attacks = { "../../etc/passwd", "..\\..\\windows", "%2e%2e%2f%2e%2e%2f",
                     "%252e%252e/..", "....//....//x", "..%c0%af..", "..;/manager",
                     "../.././../x", "..0x2f..0x2f", "/var/www/../../x" },
        .harmless = { "./a/b", "and so on...", "1..2", "wait.. what", "v1.2.3/x", "...",
                      "yes/no/..." },
    },
    {
        .name = "path-step",
        .message = "Path traversal: a step up",
        .in = "args, arg_names, cookies",
        .transform = DECODE,
        .score = SCORE_WARNING,
        .match = { "(?:^|[/\\\\=:,])\\.\\.(?:[/\\\\]|$)" },
        .attacks = { "../x", "a/../b", "file:..\\x", "%2e%2e%2fx" },
        .harmless = { "a..b", "wait..", "x../y", "/..." },
    },
    {
        .name = "system-file",
        .message = "Access to a file of the operating system",
        .in = INPUT ", referer",
        .transform = DECODE,
        .score = SCORE_CRITICAL,
        .match = { "\\betc" SLASH
                   "+(?:\\.?/+)*(?:passwd|shadow|group|gshadow|hosts(?:\\.\\w{1,8})?|"
                   "issue|fstab|sudoers|crontab|my\\.cnf|mysql/|apache2?/|nginx/|httpd/|ssh/|"
                   "php\\w{0,3}/|inetd|ld\\.so)\\b",
                   "/proc/+(?:self|\\d{1,7}|version|cpuinfo|net|cmdline|mounts)\\b",
                   "/var/(?:log/+(?:apache2?|httpd|nginx|auth|secure|syslog|messages|mail|"
                   "vsftpd|exim\\w?|mysql)\\b|spool/cron|lib/(?:mlocate|php|mysql)|backups/"
                   "(?:passwd|"
                   "shadow)|www/[\\w.-]+/\\.)",
                   "(?:^|[/\\\\~])\\.(?:ssh|aws|gnupg|kube|docker|bash_history|mysql_history|"
                   "psql_history|netrc|pgpass|git-credentials)(?:[/\\\\]|$)",
                   "\\b(?:id_rsa|id_dsa|id_ecdsa|id_ed25519|authorized_keys)\\b",
                   "(?:^|[/\\\\:])(?:boot|win|system|desktop)\\.ini\\b",
                   "\\b[a-z]:[/\\\\]*(?:windows|winnt|boot\\.ini|inetpub|win\\.ini|system32)",
                   "[/\\\\](?:system32|syswow64|winnt)(?:[/\\\\]|$)",
                   "\\b(?:web|meta)-inf[/\\\\]" },
        .attacks = { "/etc/passwd", "/etc/./shadow", "file=/proc/self/environ",
                     "c:\\windows\\win.ini", "c:windowswin.ini", "/root/.ssh/id_rsa",
                     "WEB-INF/web.xml", "/var/log/apache2/access.log", "..\\boot.ini",
                     "/etc//passwd" },
        .harmless = { "etc., and so on", "passwords", "windows", "c: drive", "/processing",
                      "/variable/logic", "group, etc", "desktop", "/var" },
    },
    {
        .name = "file-scheme",
        .message = "File inclusion: a stream wrapper or a local file as an address",
        .in = INPUT,
        .transform = DECODE,
        .score = SCORE_CRITICAL,
        .match = { "\\b(?:php|phar|expect|zip|glob|ogg|rar|ssh2|compress\\.(?:zlib|bzip2)|"
                   "netdoc|"
                   "gopher|dict|tftp|jar:https?)://?[\\w./|]",
                   "\\bphp://(?:input|filter|fd|memory|temp|stdin)",
                   "\\bfile:/{0,3}(?:etc/|proc/|var/|home/|root/|[a-z]:|localhost/|tmp/|usr/)",
                   "\\bldaps?://[\\w.\\[:-]+/\\w" },
        .attacks = { "php://filter/convert.base64-encode/resource=x", "file:///etc/passwd",
                     "expect://id", "gopher://127.0.0.1:6379/_x", "phar://x.jpg",
                     "dict://localhost:11211", "file:/etc/passwd", "ldap://e/a" },
        .harmless = { "https://example.com/", "file: report.pdf", "zip: 12345", "php",
                      "dictionary", "ldap" },
    },
    {
        .name = "secret-file",
        .message = "Access to a file that is never served",
        .in = "path",
        .transform = DECODE,
        .score = SCORE_CRITICAL,
        .match = { "/\\.(?:git|svn|hg|bzr|env|aws|ssh|htaccess|htpasswd|ds_store|npmrc|"
                   "dockerenv|"
                   "dockercfg|vscode|idea|bash_history|netrc|pgpass|kube|terraform)(?:[/.~]|$)",
                   "/(?:wp-config|configuration|settings|config|database|local_settings)\\."
                   "(?:php|inc|py|yml|yaml|json)(?:\\.\\w{1,8}|~|_\\w{1,8})$",
                   "/(?:web\\.config|id_rsa|id_ed25519|\\.?credentials|dump\\.sql|backup\\.sql|"
                   "database\\.sql|phpinfo\\.php|composer\\.lock|yarn\\.lock|appsettings\\."
                   "json)$",
                   "/(?:server-status|server-info|actuator/(?:env|heapdump|jolokia|"
                   "gateway/routes)|\\.well-known/\\.\\.)",
                   "/(?:web|meta)-inf/",
                   "\\.(?:php\\d?|aspx?|jsp)\\.(?:bak|old|orig|save|swp|txt)$" },
        .attacks = { "/.git/config", "/.env", "/app/.env.production", "/wp-config.php.bak",
                     "/.aws/credentials", "/actuator/heapdump", "/index.php.bak", "/.htpasswd",
                     "/WEB-INF/web.xml" },
        .harmless = { "/environment", "/github", "/.well-known/acme-challenge/x", "/git/tree",
                      "/config", "/wp-content/a.css", "/my.envelope" },
    },
    { .name = NULL },
};
