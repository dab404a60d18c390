/* Cross-site scripting. */
#include <stddef.h>

#include "rules/packs/pack.h"

#define INPUT "args, arg_names, path, cookies, body"
#define DECODE "url_decode, html_decode, js_decode, remove_nulls, lowercase"

/* Handlers that fire without help from the user, and those that attackers use most. */
#define HANDLER                                                                                \
    "on(?:error|load\\w{0,8}|(?:dbl|aux)?click|mouse\\w{2,6}|focus(?:in|out)?|blur|change|"    \
    "submit|reset|key(?:down|up|press)|toggle|begin|end|repeat|wheel|copy|cut|paste|"          \
    "drag\\w{0,5}|drop|pointer\\w{2,14}|animation\\w{3,9}|transition\\w{3,6}|scroll\\w{0,4}|"  \
    "input|invalid|select\\w{0,6}|show|search|hashchange|message|resize|(?:before)?unload|"    \
    "page(?:show|hide)|play(?:ing)?|canplay\\w{0,7}|start|finish|bounce|"                      \
    "readystatechange|popstate|storage|contextmenu|touch\\w{3,6}|before\\w{3,10}|"             \
    "(?:de)?activate)"

const struct pack_rule pack_script[] = {
    {
        .name = "xss-script",
        .message = "Cross-site scripting: a script element",
        .in = INPUT ", referer, user_agent",
        .transform = DECODE,
        .score = SCORE_CRITICAL,
        .match = { "<\\s{0,4}/?\\s{0,4}script(?:\\W|$)", "\\xef\\xbc\\x9cscript" },
        .attacks = { "<script>alert(1)</script>", "%3Cscript%3E", "%253Cscript%253E",
                     "&lt;script&gt;", "<scr%00ipt>", "\\u003cscript\\u003e", "\\x3cscript>",
                     "</script >", "<script/src=//x>", "%uff1cscript%uff1e",
                     "&#0000060script&#x3e;", "< script >" },
        .harmless = { "description <b>", "a < scripture", "postscript", "<scripts",
                      "script > 5", "manuscript" },
    },
    {
        .name = "xss-handler",
        .message = "Cross-site scripting: an event handler",
        .in = INPUT,
        .transform = DECODE,
        .score = SCORE_CRITICAL,
        .match = { "<[a-z!/?][^>]*[\\s/\"'`;]on[a-z]{3,24}[\\s\\x00]*=",
                   "[\"'`](?:[^<>\"'`]*[\\s/;])?" HANDLER "[\\s\\x00]*=",
                   "(?:^|[\\s/])" HANDLER
                   "\\s*=\\s*[\"'`]?\\s*(?:javascript:|alert|confirm|prompt|"
                   "eval|fetch|import|document|window|location|top\\b|self\\b|this\\b|"
                   "\\w+\\s*[(`])" },
        .attacks = { "<img src=x onerror=alert(1)>", "<svg/onload=alert(1)>",
                     "\" onmouseover=\"alert(1)", "' autofocus onfocus=alert(1) x='",
                     "<body onpageshow = x>", "<details open ontoggle=alert(1)>",
                     "onfocus=alert(1) autofocus", "<x onclick=1>y", "%22onload%3Dx",
                     "<svg><animate onbegin=alert(1) attributeName=x>" },
        .harmless = { "click on = yes", "one=1", "turn it on=off", "\"London\" only = true",
                      "5 < 6 and on", "person=me", "ontario=1", "online=true" },
    },
    {
        .name = "xss-uri",
        .message = "Cross-site scripting: a script as an address",
        .in = INPUT ", referer",
        .transform = DECODE,
        .score = SCORE_CRITICAL,
        .match = { "(?:j[\\x00-\\x20]*a[\\x00-\\x20]*v[\\x00-\\x20]*a|live|v[\\x00-\\x20]*b)"
                   "[\\x00-\\x20]*s[\\x00-\\x20]*c[\\x00-\\x20]*r[\\x00-\\x20]*i[\\x00-\\x20]*p"
                   "[\\x00-\\x20]*t[\\x00-\\x20]*:[\\s\\x00]*(?:[(\\[`'\"%\\\\/{!+~-]|"
                   "[\\w$]+(?:[.(=\\[`;]|\\s*[(=`])|(?:void|new|var|let|throw)\\s)",
                   "\\bdata:\\s*(?:text/(?:html|xml|javascript)|image/svg\\+?\\s?xml|"
                   "application/(?:x-)?(?:javascript|xhtml))[^,]*,",
                   "\\b(?:src|href|action|formaction|background|poster|data|xlink:href)\\s*="
                   "\\s*"
                   "[\"'`]?\\s*(?:javascript|vbscript|livescript|mocha)\\s*:" },
        .attacks = { "javascript:alert(1)", "java\tscript:alert(1)", "JaVaScRiPt:alert`1`",
                     "javascript&colon;alert(1)", "<a href=javascript:x>",
                     "data:text/html,<script>",
                     "data:text/html;base64,PHNjcmlwdD4=", "vbscript:msgbox(1)",
                     "javascript://%0aalert(1)", "javascript:document.x=1" },
        .harmless = { "JavaScript: The Definitive Guide", "learn javascript:", "data: text",
                      "typescript: yes", "skills: java, javascript, sql",
                      "data:image/png;base64,iVBORw0KGgo=" },
    },
    {
        .name = "xss-element",
        .message = "Cross-site scripting: an element that loads or embeds",
        .in = INPUT,
        .transform = DECODE,
        .score = SCORE_CRITICAL,
        .match = { "<\\s*(?:iframe|i?frameset|frame|object|embed|applet|isindex|layer|ilayer|"
                   "bgsound|portal|marquee)(?:[\\s/>]|$)",
                   "<\\s*(?:meta\\b[^>]*(?:http-equiv|charset)|base\\b[^>]*href|"
                   "link\\b[^>]*(?:href|rel)|xml\\b[^>]*(?:src|id)|form\\b[^>]*action|"
                   "input\\b[^>]*(?:type\\s*=\\s*[\"']?image|formaction|dynsrc)|"
                   "template\\b[^>]*shadowroot)\\s*=?",
                   "<\\s*(?:svg|math|table|td|body|img|input|video|audio|a|x)\\b[^>]*"
                   "(?:srcdoc|xlink:href|dynsrc|lowsrc|background)\\s*=",
                   "<\\s*style\\b[^>]*>[^<]*(?:@import|expression\\s*\\(|url\\s*\\(|"
                   "-moz-binding|behaviou?r\\s*:)",
                   "\\bstyle\\s*=[^>]*(?:expression\\W|behaviou?r\\s*:|-moz-binding|"
                   "javascript:|@import)",
                   "<!\\[cdata\\[.{0,40}<|<\\?xml-stylesheet|<\\?import|<!--\\[if\\b" },
        .attacks = { "<iframe src=//x>", "<object data=x>", "<embed/src=x>",
                     "<meta http-equiv=refresh content=0>", "<base href=//x/>",
                     "<link rel=stylesheet href=//x>", "<style>@import'//x'</style>",
                     "<div style=\"width: expression(1)\">", "<form action=//x>",
                     "<table background=\"javascript:x\">" },
        .harmless = { "<b>bold</b>", "<p style=\"color: red\">", "object", "a < base",
                      "<i>frame</i>", "<em>", "style = expressionist", "<a href=\"/x\">x</a>",
                      "<img src=\"a.png\" alt=\"x\">" },
    },
    {
        .name = "xss-code",
        .message = "Cross-site scripting: code of the browser",
        .in = INPUT,
        .transform = DECODE,
        .score = SCORE_CRITICAL,
        .match = { "(?:^|[^\\w.])(?:alert|confirm|prompt)\\s*(?:\\?\\.)?\\s*(?:`|\\(\\s*(?:\\d{"
                   "1,9}"
                   "\\s*\\)|['\"`/"
                   "]|document\\b|window\\b|location\\b|string\\b|this\\b|origin\\b|xss\\b|"
                   "\\w+\\.\\w+\\s*\\)))",
                   "\\bdocument\\s*\\.\\s*(?:cookie|domain|write(?:ln)?\\s*\\(|location\\b|"
                   "getelement\\w+\\s*\\(|createelement\\s*\\(|body\\s*\\.)",
                   "\\b(?:window|self|top|parent|this|frames|globalthis)\\s*(?:\\.\\s*"
                   "(?:location|open|eval|alert|name|document)\\b\\s*[=.(\\[]|\\[\\s*['\"`/"
                   "+(])",
                   "\\bstring\\s*\\.\\s*fromcharcode\\b",
                   "\\b(?:eval|settimeout|setinterval|function)\\s*\\(\\s*(?:['\"`/"
                   "]|atob|string\\.|"
                   "unescape|location|name\\s*\\)|document|this\\b|\\w+\\[)",
                   "(?:\\.|\\[\\s*['\"])constructor(?:['\"]\\s*\\])?\\s*[(.\\[]",
                   "\\binnerhtml\\s*[+=]",
                   "\\blocation\\s*(?:\\.\\s*(?:href|hash)\\s*)?=\\s*"
                   "(?:['\"`]|name\\b|\\w+\\s*\\+)" },
        .attacks = { "';alert(1)//", "alert(document.cookie)", "confirm`1`",
                     "x=document.cookie", "document.write('x')", "window['alert'](1)",
                     "String.fromCharCode(88)", "eval(atob('x'))",
                     "[].constructor.constructor(1)", "top.location='//x'", "-prompt(1)-" },
        .harmless = { "alert (see below)", "be alert!", "document cookie policy",
                      "this document", "top location", "the window. Open it", "function (math)",
                      "our location = Berlin", "confirm (yes/no)" },
    },
    { .name = NULL },
};
