/* Code, templates, expressions and objects that a server would run. */
#include <stddef.h>

#include "rules/packs/pack.h"

#define INPUT "args, arg_names, cookies, body"
#define DECODE "url_decode, js_decode, lowercase"

const struct pack_rule pack_code[] = {
    {
        .name = "php-code",
        .message = "PHP code",
        .in = INPUT ", path, user_agent",
        .transform = DECODE,
        .score = SCORE_CRITICAL,
        .match = { "<\\?(?:php\\b|=\\s*[\\w$`'\"(]|\\s+(?:echo|eval|system|@?\\$\\w))",
                   "\\$_(?:get|post|request|cookie|server|files|session|env)\\b\\s*"
                   "[\\[{;)]",
                   "\\b(?:passthru|shell_exec|proc_open|pcntl_exec|phpinfo|call_user_func(?:_"
                   "array)?|"
                   "create_function|file_put_contents|file_get_contents|gzinflate|gzuncompress|"
                   "str_rot13|base64_decode|move_uploaded_file|fsockopen|allow_url_include|"
                   "auto_prepend_file)\\s*[(=]",
                   "(?:^|[^\\w.])(?:system|exec|popen|eval|assert|include|require(?:_once)?|"
                   "preg_replace)\\s*\\(\\s*(?:['\"$]|base64|gzinflate|chr\\s*\\()",
                   "(?:^|[;{}])[oc]:\\+?\\d{1,5}:\"[\\w\\\\]+\":\\d{1,5}:\\{" },
        .attacks = { "<?php system('id');", "<?= `id` ?>", "$_GET['x']", "phpinfo()",
                     "eval(base64_decode('x'))", "system('id')", "O:8:\"stdClass\":1:{",
                     "a=file_get_contents('/x')", "allow_url_include=1" },
        .harmless = { "php developer", "<? ", "system (see 'A')", "the $_GET variable",
                      "executive", "exec summary", "include (all)", "x <?y" },
    },
    {
        .name = "java-code",
        .message = "Java code, serialised objects or expression language",
        .in = INPUT ", path, headers",
        .transform = DECODE,
        .score = SCORE_CRITICAL,
        .match = { "\\bjava\\.(?:lang\\.(?:runtime|processbuilder|class|system|thread|string)|"
                   "io\\.\\w+|net\\.\\w+|util\\.(?:scanner|jar))\\b",
                   "\\bgetruntime\\s*\\(|\\bruntime\\s*\\.\\s*exec\\s*\\(|\\bnew\\s+"
                   "processbuilder\\b",
                   "\\bclass\\.(?:module\\.classloader|classloader|protectiondomain)\\b",
                   "\\bro0ab[qx][\\w+/]|\\xac\\xed\\x00\\x05",
                   "#_memberaccess|#context\\b\\s*[\\[=.]|"
                   "@java\\.|\\bognl\\.",
                   "[%$]\\{\\s*\\(?\\s*[#@]\\s*\\w", "\\bt\\s*\\(\\s*java\\.",
                   "\\bjavax\\.(?:script|naming|management)\\.", "<%[@=!]|<jsp:" },
        .attacks = { "java.lang.Runtime.getRuntime().exec('id')",
                     "class.module.classLoader.resources.x", "rO0ABXNyABFqYXZh",
                     "%{(#a=@java.lang.Runtime@x)}", "${T(java.lang.System)}", "<%= 1 %>",
                     "${#rt=1}" },
        .harmless = { "java language", "runtime: 2h", "class module", "100%", "java.util",
                      "${name}", "50% #1" },
    },
    {
        .name = "script-code",
        .message = "Code of Node.js, Python, Ruby or Perl",
        .in = INPUT,
        .transform = DECODE,
        .score = SCORE_CRITICAL,
        .match = { "\\brequire\\s*\\(\\s*['\"`](?:child_process|fs|net|os|vm|http|node:\\w{1,"
                   "20})['\"`]",
                   "\\bprocess\\s*\\.\\s*(?:mainmodule|binding|env\\b|dlopen|exit\\s*\\()",
                   "['\"](?:node:)?child_process['\"]",
                   "(?:^|[\\[.\"'{,\\s])__proto__(?:[\\].\"'\\[]|$)",
                   "\\bconstructor\\s*(?:\\.|\\]?\\[)\\s*['\"]?prototype\\b",
                   "__(?:class|globals|subclasses|mro|bases?|builtins|import)__",
                   "\\bos\\s*\\.\\s*(?:system|popen|exec[lv]\\w{0,2}|spawn\\w{0,3})\\s*\\(",
                   "\\bsubprocess\\s*\\.\\s*(?:popen|call|run|check_output)\\s*\\(",
                   "\\b(?:pickle|marshal|yaml)\\s*\\.\\s*(?:loads?|unsafe_load)\\s*\\(|!!"
                   "python/|"
                   "!ruby/"
                   "object|\\bkernel\\s*\\.\\s*(?:open|exec|system)\\b|\\bio\\.popen\\b" },
        .attacks = { "require('child_process').exec('id')", "__proto__[admin]",
                     "a[__proto__][x]", "{\"__proto__\":{}}", "''.__class__.__mro__",
                     "os.system('id')", "!!python/object:x", "process.mainModule.require",
                     "constructor.prototype.x" },
        .harmless = { "require approval", "process. Environment", "prototype", "os system",
                      "constructor", "__init", "the __class" },
    },
    {
        .name = "template-code",
        .message = "Template or expression injection",
        .in = INPUT ", path",
        .transform = DECODE,
        .score = SCORE_CRITICAL,
        .match = { "\\{\\{\\s*(?:\\d{1,9}|['\"]\\w{0,9}['\"])\\s*[*+-/|]\\s*['\"]?\\d",
                   "\\{\\{[^}]*(?:__|\\bconfig\\b\\s*[.}\\[|]|\\bself\\.|\\brequest\\.|"
                   "\\bcycler\\b|"
                   "\\blipsum\\b|\\bconstructor\\b|\\b_self\\b|\\bapp\\.request\\b|"
                   "\\|\\s*(?:attr|system|exec|filter|map|sort)\\b)",
                   "[$#*@~]\\{\\s*\\d{1,9}\\s*[*+]\\s*\\d{1,9}\\s*\\}",
                   "<%=?\\s*\\d{1,9}\\s*\\*",
                   "\\{%-?\\s*(?:import|include|extends|debug|raw|load)\\b",
                   "\\bfreemarker\\.template\\b|<#assign\\b|\\?new\\s*\\(\\s*\\)",
                   "#set\\s*\\(\\s*\\$\\w",
                   "\\$\\{\\s*(?:request|session|application|pagecontext|"
                   "facescontext|param|header|initparam)\\b\\s*[.\\[]" },
        .attacks = { "{{7*7}}", "{{ ''.__class__ }}", "${7*7}", "#{7*7}", "<%= 7*7 %>",
                     "{{config.items()}}", "{% import os %}", "#set($x=1)",
                     "${pageContext.request}", "{{_self.env}}", "*{7*7}" },
        .harmless = { "{{name}}", "${price}", "{{ user.name }}", "50% off", "#set", "{% if %}",
                      "{{ count }} items", "${1}" },
    },
    {
        .name = "include-directive",
        .message = "Server-side include, ESI or XSLT",
        .in = INPUT ", path",
        .transform = "url_decode, html_decode, lowercase",
        .score = SCORE_CRITICAL,
        .match = { "<!--\\s*#\\s*(?:exec|include|echo|config|printenv|fsize|flastmod|set|if)"
                   "\\b",
                   "<esi:(?:include|vars|inline|debug|remove)\\b",
                   "<xsl:(?:value-of|copy-of|include|import|stylesheet)\\b" },
        .attacks = { "<!--#exec cmd=\"id\"-->", "<!--#include virtual=x",
                     "<esi:include src=x/>", "<!-- #echo var=x -->" },
        .harmless = { "<!-- comment -->", "#include", "include", "<!-- #1 -->" },
    },
    {
        .name = "xml-entity",
        .message = "XML external entity",
        .in = "body, args, cookies",
        .transform = "url_decode, lowercase",
        .score = SCORE_CRITICAL,
        .match = { "<!entity\\s", "<!doctype[^>\\[]*\\[", "<!doctype\\s[^>]*\\ssystem\\s",
                   "<xi:include\\b", "\\bxmlns:xi\\s*=" },
        .attacks = { "<!DOCTYPE x [<!ENTITY e SYSTEM \"file:///etc/passwd\">]>",
                     "<!doctype x system \"http://e/x.dtd\">", "<!ENTITY % a \"b\">",
                     "<xi:include href=\"x\"/>" },
        .harmless = { "<!DOCTYPE html>", "<?xml version=\"1.0\"?><a/>",
                      "<!DOCTYPE html PUBLIC \"-//W3C//DTD XHTML 1.0 Strict//EN\">",
                      "entity relationship" },
    },
    { .name = NULL },
};
