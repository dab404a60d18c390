/* SQL and NoSQL injection. */
#include <stddef.h>

#include "rules/packs/pack.h"

#define INPUT "args, arg_names, path, cookies, body"
#define DECODE "url_decode, remove_comments, lowercase"

const struct pack_rule pack_sql[] = {
    {
        .name = "sql-union",
        .message = "SQL injection: UNION SELECT",
        .in = INPUT ", referer, user_agent",
        .transform = DECODE,
        .score = SCORE_CRITICAL,
        .match = { "\\bunion[\\s(]+(?:(?:all|distinct|distinctrow)[\\s(]+)?select[\\s(]*"
                   "(?:[-\\d'\"@*(+!~`]|null\\b|char\\b|concat|case\\b|version\\b|user\\b|"
                   "database\\b|count\\b|unhex|load_file|\\w+\\s*[,(]|"
                   "[\\w.]+\\s+from\\b)",
                   "\\bunion\\s+all\\s+select\\b" },
        .attacks = { "1 union select 1,2,3", "1' UNION ALL SELECT null,null--",
                     "-1/**/union/*x*/select/**/user()", "1 /*!50000union*/ /*!select*/ 1,2",
                     "1+union+select+password+from+users", "1%20union(select(1),2)",
                     "%2531%2527%2520union%2520select%25201" },
        .harmless = { "the student union selects a speaker", "union select committee of 1994",
                      "Western Union, select branch", "reunion", "select union" },
    },
    {
        .name = "sql-tautology",
        .message = "SQL injection: a condition that is always true or false",
        .in = INPUT,
        .transform = DECODE,
        .score = SCORE_CRITICAL,
        .match = { /* or 1=1, and 8514=(select, where 3914=3914 */
                   "\\b(?:or|and|xor|where|having|when|not)[\\s(!~-]+\\d{1,10}[\\s)]*"
                   "(?:=|<>|!=|<=>|<|>|\\blike\\b|\\brlike\\b)[\\s(]*(?:[-\\d'\"]|select\\b|char\\b|"
                   "chr\\b|\\w+\\s*\\(|\\w+\\.\\w+\\.)",
                   /* ' or 'a'='a, ") and ("x" like "x */
                   "['\"][\\s)]*(?:or|and|xor|\\|\\||&&|where|having)[\\s(!]*['\"][^'\"]*['\"][\\s)]*"
                   "(?:=|<>|!=|[<>]\\s*['\"\\d(]|(?:like|rlike|in|regexp)\\s*['\"(])",
                   /* ' or 1, ') or true --, ' || 1 */
                   "['\"][\\s)]*(?:or|xor|\\|\\||&&)[\\s(!-]*(?:true\\s*$|(?:true|\\d{1,10})[\\s)]*"
                   "(?:--|#|;|=|[<>]\\s*\\d|like\\b))",
                   /* ' or x=x, ' or ascii(..)= */
                   "['\"][\\s)]*(?:or|and|xor|\\|\\||&&)[\\s(!]+[a-z_]\\w*(?:\\([^()]*\\))?\\s*"
                   "(?:(?:=|<>|!=)\\s*['\"\\w(]|[<>]\\s*['\"\\d])",
                   /* '=' and '' = '' */
                   "^[^'\"\\s]{0,20}['\"](?:=|like|<>|!=|\\^|\\+|-|\\*|/|&|\\|)['\"]\\s*$",
                   "\\b(?:or|and|where)[\\s(]+\\d{1,10}\\s+(?:not\\s+)?(?:between\\s+\\d|in\\s*\\()",
                   "(?:^|[\\d'\")])\\s*(?:\\|\\||&&)\\s*\\d{1,10}\\s*=\\s*\\d" },
        .attacks = { "1 or 1=1", "1' or '1'='1", "admin' or 1=1--", "-3136%\") or 3400=6002",
                     "1) as pihy where 3914=3914 and (1=1", "' || 'a'='a", "') or true --",
                     "1/**/or/**/1=1", "x' or name='x", "'='", "1' and 2724 in ((char(113)",
                     "1 || 1=1" },
        .harmless = { "one or two", "O'Neill and O'Brien", "black and white = classic",
                      "Romeo & Juliet", "either 1 or 2", "rock 'n' roll and \"jazz\"",
                      "height < 10 and width", "2 and 3", "where 42 is the answer",
                      "'quoted' or \"not\" <b>", "24\" or 27", "\"a\" and b <i>c" },
    },
    {
        .name = "sql-comment",
        .message = "SQL injection: the rest of a statement is cut off",
        .in = INPUT,
        .transform = "url_decode, lowercase",
        .score = SCORE_CRITICAL,
        .match = { "^[^'\"\\s]*['\"]\\s*\\)*\\s*;?\\s*(?:--|#|/\\*)[\\s\\w+-]{0,8}$",
                   "\\d\\s*['\"]?\\)+\\s*(?:--|#)[\\s\\w+-]{0,8}$",
                   "^[^'\"\\s]*['\"]\\)+\\s*(?:--|#|/\\*)" },
        .attacks = { "admin'--", "admin' #", "admin'/*", "1')) -- x", "x\");--", "1)--" },
        .harmless = { "\"To be\" -- Shakespeare", "C#", "it's number #1", "--verbose", "a -- b",
                      "issue #12 (see '#11')", "'60s", "5'", "#fff" },
    },
    {
        .name = "sql-stacked",
        .message = "SQL injection: a further statement",
        .in = INPUT,
        .transform = DECODE,
        .score = SCORE_CRITICAL,
        .match = { ";\\s*select\\b[\\s(]*(?:[-*\\d'\"@(]|\\w+\\s*\\(|"
                   "[\\w.]+(?:\\s*,\\s*[\\w.]+)*\\s+from\\b|case\\b)",
                   ";\\s*(?:insert\\s+into|delete\\s+from|replace\\s+into|merge\\s+into|"
                   "truncate\\s+table)\\s+[\\w.`\"\\[]",
                   ";\\s*update\\s+[\\w.`\"\\[\\]]+\\s+set\\s+[\\w.`\"\\[\\]]+\\s*=",
                   ";\\s*(?:drop|create|alter)\\s+(?:or\\s+replace\\s+)?(?:table|database|schema|"
                   "view|index|function|procedure|trigger|user|login|role|alias)\\s+[\\w.`\"\\[]",
                   ";\\s*(?:exec(?:ute)?\\s*(?:\\(|master|sp_|xp_|immediate\\b)|declare\\s+@|"
                   "waitfor\\s+(?:delay|time)\\b|shutdown\\s*(?:--|;|$|with\\b)|"
                   "begin\\s+(?:dbms_|declare\\b|user_lock)|copy\\s+[\\w(][^;]*\\s(?:from|to)\\s|"
                   "if\\s*\\([^;]+\\)\\s*(?:select|waitfor|exec|drop)|"
                   "call\\s+[\\w.]+\\(|grant\\s+\\w+\\s+(?:on|to)\\s)" },
        .attacks = { "1; drop table users", "1';insert into admins values(1)--",
                     "1;update users set pass='x'", "1; exec xp_cmdshell 'dir'",
                     "1;select pg_sleep(5)", "1;waitfor delay '0:0:5'--",
                     "x';select case when 1=1 then 1 end" },
        .harmless = { "options; select one of them", "first; update later",
                      "tables; drop by table 4", "wait; call me (later)", "color: red; create",
                      "; begin with" },
    },
    {
        .name = "sql-delay",
        .message = "SQL injection: the database is made to wait or to work",
        .in = INPUT ", referer, user_agent",
        .transform = DECODE,
        .score = SCORE_CRITICAL,
        .match = { "[^\\w.]sleep\\s*\\(\\s*(?:\\d{1,4}\\s*\\)|\\(|\\d{1,4}\\s*[-+*/])",
                   "\\bbenchmark\\s*\\(\\s*\\d{3,}", "\\bpg_sleep\\s*\\(",
                   "\\bwaitfor\\s+(?:delay|time)\\s*['\"(@]",
                   "\\bdbms_(?:lock|session|pipe)\\s*\\.\\s*\\w+", "\\brandomblob\\s*\\(",
                   "\\bregexp_substring\\s*\\(\\s*repeat\\s*\\(",
                   "\\bcount\\s*\\(\\s*\\*\\s*\\)\\s+from\\s+(?:all_users|sysusers|sysibm|domain\\.|"
                   "rdb\\$|sysmaster|generate_series|information_schema)",
                   "\\bgenerate_series\\s*\\(\\s*\\d" },
        .attacks = { "1 and sleep(5)", "1' and (select*from(select(sleep(5)))a)--",
                     "1 or benchmark(5000000,md5(1))", "1) or pg_sleep(5)--",
                     "1 waitfor delay '0:0:5'",
                     "1 and dbms_pipe.receive_message(chr(65),5)",
                     "1 and like('abcdefg',upper(hex(randomblob(500000000/2))))" },
        .harmless = { "time.sleep(5)", "sleep (well)", "benchmark (see table 2)", "waitfor",
                      "I sleep (8 hours)" },
    },
    {
        .name = "sql-catalog",
        .message = "SQL injection: system tables and procedures",
        .in = INPUT,
        .transform = DECODE,
        .score = SCORE_CRITICAL,
        .match = { "\\binformation_schema\\s*[.`\"]", "\\bsqlite_(?:master|schema|temp_master)\\b",
                   "\\bpg_(?:catalog\\s*\\.|shadow\\b|user\\b|database\\b|tables\\b|read_file\\b|"
                   "ls_dir\\b)",
                   "\\bmysql\\s*\\.\\s*(?:user|db|innodb_table_stats)\\b",
                   "\\bmaster\\s*\\.\\s*(?:dbo)?\\s*\\.\\s*(?:sys|xp_|sp_)",
                   "\\bsys\\s*\\.\\s*(?:objects|tables|columns|databases|schema_table|user\\$|"
                   "all_tables|dual)\\b",
                   "\\b(?:sysobjects|syscolumns|sysdatabases|msysobjects|user_tab_columns|"
                   "all_tab_columns|user_tables\\s+where|sysibm\\s*\\.|rdb\\$\\w+|v\\$version|"
                   "domain\\.domains)",
                   "\\b(?:xp_(?:cmdshell|dirtree|regread|fileexist)|sp_(?:oacreate|oamethod|"
                   "executesql|makewebtask|addextendedproc)|utl_(?:http|inaddr|smtp|file)\\s*\\.|"
                   "ctxsys\\s*\\.|dbms_(?:xmlgen|java|export_extension|ldap)\\b)",
                   "@@(?:version|datadir|hostname|servername|basedir|global\\b|tmpdir)" },
        .attacks = { "1 union select table_name from information_schema.tables",
                     "1 and exists(select * from sqlite_master)", "1;exec master..xp_cmdshell 'x'",
                     "-1 or @@version=1", "(select user from mysql.user)",
                     "1 and ctxsys.drithsx.sn(1,2)" },
        .harmless = { "information schema", "the system tables", "mysql user group",
                      "user@@example", "sqlite", "master.system", "sys.path" },
    },
    {
        .name = "sql-function",
        .message = "SQL injection: functions that read, build or force errors",
        .in = INPUT,
        .transform = DECODE,
        .score = SCORE_CRITICAL,
        .match = { "\\b(?:extractvalue|updatexml|xmltype)\\s*\\(\\s*[\\w'\"(]",
                   "\\b(?:group_concat|load_file|load_extension|json_keys|gtid_subset|make_set|elt|"
                   "iif)\\s*\\(\\s*(?:[\\d'\"@(]|0x|char|concat|distinct|[\\w.]+\\s*[,)]\\s*"
                   "(?:from|,|--|#|$))",
                   "\\binto\\s+(?:out|dump)file\\s*['\"@(]",
                   "\\b(?:char|chr|nchar)\\s*\\(\\s*\\d{1,3}\\s*\\)\\s*(?:\\+|\\|\\||,|=|\\))",
                   "\\b(?:concat|concat_ws|char|ascii|ord|hex|unhex|md5|substr|substring|mid)\\s*\\("
                   "\\s*(?:0x[0-9a-f]{2}|\\(\\s*select\\b|char\\s*\\(|chr\\s*\\(|user\\s*\\(|"
                   "database\\s*\\(|version\\s*\\(|current_user|@@)",
                   "\\b(?:cast|convert)\\s*\\(.{1,100}\\b(?:as|using)\\s+(?:n?char|n?varchar|"
                   "varchar2|int|integer|numeric|signed|unsigned|decimal|bigint|utf8|latin1)\\b",
                   "\\bconvert\\s*\\(\\s*(?:int|integer|numeric|varchar)\\s*,",
                   "\\bcase\\s+when\\b.{1,100}\\bthen\\b.{1,100}\\bend\\b",
                   "\\bprocedure\\s+analyse\\s*\\(",
                   "\\b(?:floor|round|exp|ceil)\\s*\\(\\s*(?:rand\\s*\\(|~|\\(\\s*select\\b)" },
        .attacks = { "1 and extractvalue(1,concat(0x7e,user()))", "1 and load_file('/etc/passwd')",
                     "x into outfile '/var/www/a.php'", "char(113)+char(112)", "chr(60)||chr(58)",
                     "1 procedure analyse(1)", "1 and ascii(substr((select 1),1,1))>64",
                     "1 and cast((select 1) as numeric)", "case when 1=1 then 1 else 0 end",
                     "-1 or make_set(1=1,2)", "elt(6272=6272,5)", "floor(rand(0)*2)" },
        .harmless = { "concatenate (strings)", "char", "the cast (as of 2020)",
                      "in case when needed then", "convert to PDF", "round (of 16)",
                      "load file (pdf)", "substring(0, 5)" },
    },
    {
        .name = "sql-select",
        .message = "SQL injection: a statement of its own",
        .in = INPUT,
        .transform = DECODE,
        .score = SCORE_CRITICAL,
        .match = { "\\(\\s*select[\\s(]+(?:\\d|\\*|@@|count\\s*\\(|char\\s*\\(|concat\\w{0,3}\\s*\\(|"
                   "case\\b|sleep\\s*\\(|null\\b|upper\\s*\\(|'|\"|\\(|\\w+\\s+where\\s+\\d)",
                   "\\(\\s*select\\s+[\\w.,\\s`\"]+\\s+from\\s+[\\w.`\"]+",
                   "\\bselect\\s+(?:\\*|count\\s*\\(\\s*[*\\w]|(?:top|distinct)\\s+\\w|"
                   "[\\w.`\"]+\\s*,\\s*[\\w.`\"]+[\\w.`\",\\s]*)\\s{0,4}\\)?\\s*"
                   "from\\s+[\\w.`\"\\[]+\\s*(?:where\\b|limit\\b|order\\b|group\\b|--|#|;|$)",
                   "\\b(?:rlike|regexp|like|in|exists|any|all)\\s*\\(\\s*select\\b",
                   "\\binsert\\s+into\\s+[\\w.`\"\\[\\]]+\\s*(?:\\([^)]+\\)\\s*)?"
                   "(?:values\\s*\\(|select\\b)",
                   "\\bdelete\\s+from\\s+[\\w.`\"\\[\\]]+\\s+where\\s+[\\w.`\"\\[\\]]+\\s*"
                   "(?:=|like\\b|in\\b|<|>)",
                   "['\"]\\s*;?\\s*drop\\s+(?:table|database|schema)\\s+\\w",
                   "(?:['\"\\d)]\\s*|^\\s*)order\\s+by\\s+\\d{1,4}\\s*(?:--|#|,\\s*\\d|;)",
                   "['\")]\\s*(?:order|group)\\s+by\\s+\\d{1,4}\\b",
                   "['\")\\d]\\s*(?:rlike|regexp|having|limit\\s+\\d{1,9}\\s*,\\s*\\d{1,9}\\s+"
                   "(?:union|into))[\\s(]+(?:select|sleep|case|\\(|0x|\\d)" },
        .attacks = { "1 and (select 1)=1", "(select password from users)",
                     "select * from users where id=1", "1' and exists(select 1)",
                     "insert into users (a,b) values (1,2)", "1 order by 10--",
                     "1') order by 3", "delete from users where id=1", "x'; drop table students",
                     "1 rlike (select 5)" },
        .harmless = { "please select one from the list", "select a plan", "(select all that apply)",
                      "insert into the slot", "order by 5 pm", "select from our range",
                      "Drop Table 4 a note", "delete from cart", "sort order by 2" },
    },
    {
        .name = "nosql-operator",
        .message = "NoSQL injection: a query operator where a name or value belongs",
        .in = "arg_names, args, body",
        .transform = "url_decode, js_decode, lowercase",
        .score = SCORE_CRITICAL,
        .match = { "\\[\\$(?:ne|n?in|[gl]te?|eq|regex|where|exists|type|not|or|and|nor|expr|"
                   "elemmatch|func)\\]",
                   "[{,]\\s*[\"']?\\$(?:ne|nin|[gl]te?|regex|where|exists|expr|function|"
                   "accumulator|elemmatch)[\"']?\\s*:",
                   "['\"]\\s*(?:\\|\\||&&)\\s*['\"]?\\s*(?:this\\.|\\d\\s*={2,3}\\s*\\d|"
                   "'1'\\s*={2,3}\\s*'1)",
                   "['\"]\\s*;\\s*return\\s+(?:true|\\d|this\\b|['\"])" },
        .attacks = { "user[$ne]", "password[$regex]", "{\"$gt\":\"\"}",
                     "{\"a\":1, \"$where\": \"sleep(1)\"}", "' || this.password.match(/a/)",
                     "'; return true; var a='", "{\"\\u0024ne\":1}" },
        .harmless = { "price[usd]", "$ne", "cost: $5", "{\"price\": \"$10\"}", "a[0][in]",
                      "{$name}" },
    },
    { .name = NULL },
};
