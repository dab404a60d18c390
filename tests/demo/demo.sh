#!/usr/bin/env bash
# The gateway with a demo shop behind it, as an ordinary user, in a folder of its own below /tmp.
#
#   demo.sh run     start both, drive them, print what happened, and stay up until Ctrl-C
#   demo.sh check   the same, compare each row with what it must be, and exit with 0 or 1
#
# Only bash and the two binaries are needed. Requests go out byte for byte over /dev/tcp: a client that tidies
# paths up would hide the attack.
set -u
cd "$(dirname "$0")/../.."
mode=${1:-run}
[ "$mode" = run ] || [ "$mode" = check ] || { echo "usage: $0 run|check" >&2; exit 2; }
build=${BUILD:-build}/release
gateway=${SALLYPORT:-$build/sallyport}
backend=${DEMO_BACKEND:-$build/demo-backend}

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' red=$'\e[31m' plain=$'\e[0m'
else
    bold='' dim='' green='' red='' plain=''
fi

folder=$(mktemp -d "${TMPDIR:-/tmp}/sallyport-demo.XXXXXX") || exit 1
chmod 755 "$folder"
gateway_pid='' backend_pid='' wrong=0 first_id=''

finish() {
    trap - EXIT
    trap '' INT TERM # a second Ctrl-C must not leave anything behind
    [ -z "$gateway_pid" ] || kill -TERM "$gateway_pid" 2>/dev/null
    [ -z "$gateway_pid" ] || wait "$gateway_pid" 2>/dev/null
    [ -z "$backend_pid" ] || kill -TERM "$backend_pid" 2>/dev/null
    [ -z "$backend_pid" ] || wait "$backend_pid" 2>/dev/null
    rm -rf "$folder"
}
trap finish EXIT
trap 'echo; exit 0' INT TERM

give_up() {
    echo "demo: $1" >&2
    [ ! -s "$folder/gateway.log" ] || tail -n 20 "$folder/gateway.log" >&2
    exit 1
}

# The first line of a file that matches, as soon as it is there.
wait_line() { # file, pattern, pid
    local line
    for _ in $(seq 3600); do
        if line=$(grep -m 1 -E "$2" "$1" 2>/dev/null); then
            echo "$line"
            return 0
        fi
        kill -0 "$3" 2>/dev/null || return 1
        sleep 0.05
    done
    return 1
}

port_is_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# One request; sets status, ms, fields and body.
ask() { # method, target, [field]..., [body=TEXT]
    local method=$1 target=$2 fields='' content='' line from to
    shift 2
    for line in "$@"; do
        case $line in
            body=*) content=${line#body=} ;;
            *) fields+="$line"$'\r\n' ;;
        esac
    done
    [ -z "$content" ] || fields+=$'Content-Type: application/x-www-form-urlencoded\r\n'"Content-Length: ${#content}"$'\r\n'
    from=${EPOCHREALTIME//[.,]/}
    status='' reply_fields='' body=''
    exec 3<>"/dev/tcp/127.0.0.1/$port" || return
    printf '%s %s HTTP/1.1\r\nHost: localhost:%s\r\nConnection: close\r\n%s\r\n%s' \
        "$method" "$target" "$port" "$fields" "$content" >&3
    IFS=' ' read -r -t 10 _ status _ <&3
    to=${EPOCHREALTIME//[.,]/}
    while IFS= read -r -t 10 line <&3 && [ "$line" != $'\r' ]; do
        reply_fields+=${line%$'\r'}$'\n'
    done
    body=$(cat <&3)
    exec 3>&-
    ms=$(((to - from) / 100))
    ms=$((ms / 10)).$((ms % 10))
}

field() { printf '%s' "$reply_fields" | sed -n "s/^$1: *//Ip" | head -n 1; }

# What the audit record of the last refusal says: the rule, its message, the request id.
verdict() {
    local id record rule what
    id=$(field x-request-id)
    [ -n "$id" ] || id=$(printf '%s' "$body" | grep -oE '[0-9a-f]{8}-[0-9a-f-]{27}' | head -n 1)
    for _ in $(seq 40); do
        record=$(grep -F "\"id\":\"$id\"" "$folder/audit.jsonl" 2>/dev/null | head -n 1)
        [ -z "$record" ] || break
        sleep 0.05
    done
    rule=$(printf '%s' "$record" | grep -oE '"matches":\[\{"rule":"[^"]*' | sed 's/.*"//')
    what=$(printf '%s' "$record" | grep -oE '"msg":"[^"]*' | head -n 1 | sed 's/.*"//')
    if [ -z "$rule" ]; then
        rule=$(printf '%s' "$record" | grep -oE '"detail":"[^"]*' | sed 's/.*"//')
        what='refused before any rule'
    fi
    echo "${what:-refused} (${rule:-no rule})"
    [ -n "$first_id" ] || echo "$id" > "$folder/first_id"
}

row() { # expected status, how the request is shown, what happened
    local mark="${green}ok${plain}" colour=$green
    [ "$1" = 200 ] || colour=$red
    if [ "$status" != "$1" ]; then
        mark="${red}must be $1${plain}"
        wrong=$((wrong + 1))
    fi
    printf '  %-36s %s%s%-4s%s %s%6s ms%s  %s  %s\n' "$2" "$bold" "$colour" "${status:-none}" "$plain" "$dim" "$ms" "$plain" "$mark" "$3"
}

configure() {
    # The password is `demo`; this hash is no secret.
    printf '%s\n' "demo:\$6\$sallyportdemo\$$demo_hash" > "$folder/users"
    chmod 600 "$folder/users"
    cat > "$folder/sallyport.yaml" <<YAML
version: 1
server:
  listen: {http: "127.0.0.1:$port"}
  workers: 1
  control: control.sock
audit: {file: audit.jsonl, record: [all]}
sites:
  - name: shop
    host: "*"
    upstream: http://127.0.0.1:$backend_port
    waf: {mode: block}
    headers: strict
    routes:
      - path: /api/**
        limits: ["10/10s per client.ip"]
      - path: /admin
        basic: {realm: Demo, file: users}
YAML
}
demo_hash=fuMxBBxJRxdvO.e44zTtQDUCmsGZ9kK.8UO4hlpL3p24ulGFd9eLUSv2ChACZkBnpv3nykJ/NlBOfr/d5REm71

# ---- start --------------------------------------------------------------------------------------

[ -x "$gateway" ] && [ -x "$backend" ] || give_up "$gateway or $backend is missing; run make first"
"$backend" > "$folder/backend.out" 2>&1 &
backend_pid=$!
line=$(wait_line "$folder/backend.out" '^port=' "$backend_pid") || give_up 'the demo shop did not start'
backend_port=${line#port=}

port=8080
while ! port_is_free "$port"; do
    port=$((port + 1))
done
configure
"$gateway" run -c "$folder/sallyport.yaml" > "$folder/ready" 2> "$folder/gateway.log" &
gateway_pid=$!
[ ! -d /usr/share/modsecurity-crs/rules ] || echo 'starting with the OWASP Core Rule Set; the first time takes some seconds, to compile its patterns'
line=$(wait_line "$folder/ready" '^ready ' "$gateway_pid") || give_up 'the gateway did not start'
rules=$(grep -m 1 '"message":"rules"' "$folder/gateway.log" | grep -oE '"set":"[^"]*' | sed 's/.*"//')

echo
echo "${bold}Sallyport${plain} in front of a careless shop, on ${bold}http://127.0.0.1:$port/${plain}"
echo "Rules: $rules"
[ "$port" = 8080 ] || echo "(port 8080 is taken by something else, so this is the next free one)"
echo

# ---- drive --------------------------------------------------------------------------------------

json='Accept: application/json'
ask GET /
row 200 'GET  /' "$(printf '%s' "$body" | grep -q 'demo backend' && echo 'served by the demo shop')"
ask GET "/search?q=%27%20OR%201=1--" "$json"
row 403 "GET  /search?q=' OR 1=1--" "$(verdict)"
first_id=$(cat "$folder/first_id" 2>/dev/null)
ask POST /comment "$json" 'body=text=%3Cscript%3Ealert(1)%3C/script%3E'
row 403 'POST /comment <script>alert(1)...' "$(verdict)"
ask GET '/search?q=../../../etc/passwd' "$json"
row 403 'GET  /search?q=../../../etc/passwd' "$(verdict)"
ask GET '/../../etc/passwd' "$json"
row 400 'GET  /../../etc/passwd' "$(verdict)"
ask GET /admin "$json"
row 401 'GET  /admin' "asks for name and password: $(field www-authenticate)"
ask GET /admin "$json" 'Authorization: Basic ZGVtbzp3cm9uZw=='
row 401 'GET  /admin  (demo/wrong)' 'not the right password'
ask GET /admin "$json" 'Authorization: Basic ZGVtbzpkZW1v'
row 200 'GET  /admin  (demo/demo)' 'signed in'
good=0
for _ in 1 2 3 4 5 6 7 8 9 10; do
    ask GET /api/items "$json"
    [ "$status" != 200 ] || good=$((good + 1))
done
row 200 'GET  /api/items  x10' "$good of 10 within the limit of 10 in 10 s for one address"
[ "$good" = 10 ] || wrong=$((wrong + 1))
ask GET /api/items "$json"
row 429 'GET  /api/items  once more' "over the limit; come back in $(field retry-after) s"
ask GET /
row 200 'GET  /' 'everything else is served as before'

# ---- stay ---------------------------------------------------------------------------------------

echo
echo "  The page of each refusal carries its request id, and so does its record; the first one here is"
echo "  $first_id"
echo
if [ "$mode" = check ]; then
    [ "$wrong" = 0 ] && echo "every row is as it must be" || echo "${red}$wrong rows are not as they must be${plain}"
    [ "$wrong" = 0 ]
    exit
fi
echo "  try          curl -i 'http://127.0.0.1:$port/search?q=<script>'"
echo "  records      tail -f $folder/audit.jsonl"
echo "  settings     $folder/sallyport.yaml   (reload: kill -HUP $gateway_pid)"
echo
echo "Ctrl-C stops everything and removes the folder."
wait "$gateway_pid"
