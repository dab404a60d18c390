# Sallyport. `make help` lists the targets; `make` alone builds build/release/sallyport.
#
# On a bare Debian 12 only make and git need to be there: `make run` and `make test` first
# install what packaging/deps/*.list name. So nothing here asks a compiler or pkg-config before a
# recipe runs, and the two re-enter make once the packages are there.

VARIANT ?= release
BUILD ?= build
B := $(BUILD)/$(VARIANT)
CC := gcc
PYTHON := /usr/bin/python3
PREFIX ?= /usr/local
S ?= 60
Q := $(if $(V),,@)
export VARIANT BUILD
# As many jobs as processors, unless told otherwise.
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(shell nproc)
endif
.DELETE_ON_ERROR:
.SECONDARY:
.DEFAULT_GOAL := all

FOLDERS := gateway geoip ratelimit auth rules conf
SOURCES := $(shell find $(FOLDERS) -name '*.c' 2>/dev/null | sort)
MAIN := gateway/main.c
UNITS := $(or $(filter tests/%,$(T)),$(patsubst %.c,%,$(shell find tests/unit -name '*_test.c' 2>/dev/null | sort)))
# What several unit tests share: every other .c file below tests/unit.
UNIT_HELP := $(shell find tests/unit -name '*.c' ! -name '*_test.c' 2>/dev/null | sort)
# The reference evaluator of SecLang, which tests of the rules are compared with.
REFERENCE_SOURCES := $(sort $(wildcard tests/reference/*.c))
HARNESSES := $(patsubst fuzz/%_fuzz.c,%,$(wildcard fuzz/*_fuzz.c))
DEMO_SOURCES := $(wildcard tests/demo/backend.c)

# ---- flags ----------------------------------------------------------------------------------

MODULES := openssl libhs libpcre2-8 yaml-0.1 jansson libsodium libseccomp libmaxminddb hiredis sqlite3 libnghttp2 zlib expat libbrotlidec libbrotlienc libcares libzstd liboath
WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla \
	-Wpointer-arith -Wwrite-strings -Wformat=2 -Werror
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all

CFLAGS_release := -O2 -g -D_FORTIFY_SOURCE=3 -fstack-protector-strong -fstack-clash-protection \
	-fcf-protection=full -ftrivial-auto-var-init=zero -fzero-call-used-regs=used-gpr
# All bytes of a request go through these: loops are worth more than short code.
$(B)/rules/%.o $(B)/gateway/http/%.o: LOOPS_release := -O3
CFLAGS_debug := -O1 -g -fno-omit-frame-pointer $(SANITIZE) -DSALLYPORT_FAULTS=1
# What it cannot see, a fence, is said to be so.
CFLAGS_tsan := -O1 -g -fsanitize=thread -Wno-tsan
# A harness has no header that declares its one function.
$(B)/fuzz/%.o: WARNINGS += -Wno-missing-prototypes
CFLAGS_fuzz := -O1 -g -fno-omit-frame-pointer $(SANITIZE) -fsanitize=fuzzer-no-link \
	-DSALLYPORT_FAULTS=1
CFLAGS_cover := -O0 -g --coverage -DSALLYPORT_FAULTS=1
LDFLAGS_release := -Wl,-z,relro,-z,now,-z,noexecstack,-z,separate-code
# Some 250 programs are linked for `make test`: gold, of binutils, takes half as long.
LDFLAGS_debug := $(SANITIZE) $(if $(wildcard /usr/bin/ld.gold),-fuse-ld=gold)
LDFLAGS_tsan := -fsanitize=thread
LDFLAGS_fuzz := $(SANITIZE)
LDFLAGS_cover := --coverage

ifeq ($(VARIANT),fuzz)
CC := clang
endif
ifeq ($(findstring clang,$(CC)),clang)
CFLAGS_release := $(filter-out -fzero-call-used-regs=% -ftrivial-auto-var-init=%,$(CFLAGS_release))
endif

# Asked at most once, when the first recipe needs it.
lazily = $(eval $(1) := $(2))$($(1))
LIB_CFLAGS = $(call lazily,LIB_CFLAGS,$(shell pkg-config --cflags $(MODULES)))
# libasan has a crypt_r of its own that calls the real one: --as-needed would leave that out.
LIBCRYPT := -Wl,--push-state,--no-as-needed -lcrypt -Wl,--pop-state
# libinjection, as members of an archive; nothing else of it is linked.
LIBINJECTION := -l:libmodsecurity.a
LIBS = $(call lazily,LIBS,$(shell pkg-config --libs $(MODULES)) $(LIBINJECTION) $(LIBCRYPT) -lpthread -lm)
# Tests run checked: the debug build, unless another was asked for.
CHECKED := $(if $(filter release,$(VARIANT)),debug,$(VARIANT))

ALL_CFLAGS = -std=gnu17 -D_GNU_SOURCE -I. -MMD -MP -fPIE -fvisibility=hidden -mcx16 -msse4.2 $(WARNINGS) \
	$(CFLAGS_$(VARIANT)) $(LOOPS_$(VARIANT)) $(LIB_CFLAGS) $(CFLAGS)
ALL_LDFLAGS = -pie -Wl,--as-needed -Wl,--build-id $(LDFLAGS_$(VARIANT)) $(LDFLAGS)

# ---- building -------------------------------------------------------------------------------

OBJECTS := $(patsubst %.c,$(B)/%.o,$(filter-out $(MAIN),$(SOURCES)))
LIBRARY := $(B)/libsallyport.a
# Its tables are local symbols; rules/sql_words.c and rules/xss_possible.c read them.
LIBINJECTION_TABLES := $(B)/libinjection_sqli.o $(B)/libinjection_xss.o
OBJECTS += $(LIBINJECTION_TABLES)

all: $(if $(wildcard $(MAIN)),$(B)/sallyport) $(LIBRARY) ## build/release/sallyport (VARIANT=debug, tsan, fuzz or cover for others)

$(B)/%.o: %.c Makefile
	@mkdir -p $(@D)
	@echo 'CC $<'
	$(Q)$(CC) $(ALL_CFLAGS) -c $< -o $@

$(LIBINJECTION_TABLES): Makefile
	@mkdir -p $(@D)
	@echo 'AR $@'
	$(Q)ar p "$$($(CC) -print-file-name=libmodsecurity.a)" $(@F) > $@
	$(Q)objcopy --globalize-symbol=sql_keywords --globalize-symbol=char_parse_map \
		--globalize-symbol=BLACKATTR $@

# Made anew when the list of objects changes too: a member of a deleted file must not stay.
$(B)/objects.list: FORCE
	@mkdir -p $(@D)
	@echo '$(OBJECTS)' | cmp -s - $@ || echo '$(OBJECTS)' > $@

$(LIBRARY): $(OBJECTS) $(B)/objects.list
	@echo 'AR $@'
	$(Q)rm -f $@ && ar rcs $@ $(OBJECTS)

$(B)/sallyport: $(B)/$(MAIN:.c=.o) $(LIBRARY)
	@echo 'LD $@'
	$(Q)$(CC) $(ALL_LDFLAGS) $^ $(LIBS) -o $@

$(B)/demo-backend: $(B)/tests/demo/backend.o $(LIBRARY)
	@echo 'LD $@'
	$(Q)$(CC) $(ALL_LDFLAGS) $^ $(LIBS) -o $@

$(B)/language-tests: $(B)/tests/conformance/language.o $(LIBRARY)
	@echo 'LD $@'
	$(Q)$(CC) $(ALL_LDFLAGS) $^ $(LIBS) -o $@

$(B)/rules-micro: $(B)/tests/bench/rules_micro.o $(LIBRARY)
	@echo 'LD $@'
	$(Q)$(CC) $(ALL_LDFLAGS) $^ $(LIBS) -o $@

REFERENCE := $(B)/libreference.a
$(REFERENCE): $(REFERENCE_SOURCES:%.c=$(B)/%.o)
	@echo 'AR $@'
	$(Q)rm -f $@ && ar rcs $@ $^

$(B)/audit-bench: $(B)/tests/bench/audit.o $(LIBRARY)
	@echo 'LD $@'
	$(Q)$(CC) $(ALL_LDFLAGS) $^ $(LIBS) -o $@

$(B)/asker: $(B)/tests/bench/asker.o $(LIBRARY)
	@echo 'LD $@'
	$(Q)$(CC) $(ALL_LDFLAGS) $^ $(LIBS) -o $@

$(B)/bench-geo: $(B)/tests/bench/geo.o $(LIBRARY)
	@echo 'LD $@'
	$(Q)$(CC) $(ALL_LDFLAGS) $^ $(LIBS) -o $@

$(B)/bench-lists: $(B)/tests/bench/lists.o $(LIBRARY)
	@echo 'LD $@'
	$(Q)$(CC) $(ALL_LDFLAGS) $^ $(LIBS) -o $@

$(B)/bench-auth: $(B)/tests/bench/auth.o $(LIBRARY)
	@echo 'LD $@'
	$(Q)$(CC) $(ALL_LDFLAGS) $^ $(LIBS) -o $@

$(B)/tlsflood: $(B)/tests/bench/tlsflood.o
	@echo 'LD $@'
	$(Q)$(CC) $(ALL_LDFLAGS) $^ -lssl -lcrypto -o $@

$(B)/bench-limits: $(B)/tests/bench/limits.o $(LIBRARY)
	@echo 'LD $@'
	$(Q)$(CC) $(ALL_LDFLAGS) $^ $(LIBS) -lm -o $@

$(B)/tests/unit/%_test: $(B)/tests/unit/%_test.o $(UNIT_HELP:%.c=$(B)/%.o) $(REFERENCE) $(LIBRARY)
	@echo 'LD $@'
	$(Q)$(CC) $(ALL_LDFLAGS) $^ $(LIBS) -lcmocka -o $@

# Programs that tests/conformance sends requests through.
CONFORMANCE_HELP := $(B)/tests/conformance/driver.o $(REFERENCE) $(LIBRARY)
$(B)/ftw-driver: $(B)/tests/conformance/ftw_driver.o $(CONFORMANCE_HELP)
	@echo 'LD $@'
	$(Q)$(CC) $(ALL_LDFLAGS) $^ $(LIBS) -o $@

# The plan and the reference evaluator over generated exchanges.
DIFFER := differ differ_plan differ_compare generate
$(B)/differ: $(DIFFER:%=$(B)/tests/conformance/%.o) $(REFERENCE) $(LIBRARY)
	@echo 'LD $@'
	$(Q)$(CC) $(ALL_LDFLAGS) $^ $(LIBS) -o $@

$(B)/modsec-driver: $(B)/tests/conformance/modsec_driver.o $(CONFORMANCE_HELP)
	@echo 'LD $@'
	$(Q)$(CC) $(ALL_LDFLAGS) $^ -l:libmodsecurity.so $(LIBS) -o $@

$(B)/fuzz/%_fuzz: $(B)/fuzz/%_fuzz.o $(LIBRARY)
	@echo 'LD $@'
	$(Q)$(CC) $(ALL_LDFLAGS) -fsanitize=fuzzer $^ $(LIBRARY) $(LIBS) -o $@

$(B)/fuzz/%_replay: $(B)/fuzz/%_fuzz.o $(B)/fuzz/replay.o $(LIBRARY)
	@echo 'LD $@'
	$(Q)$(CC) $(ALL_LDFLAGS) $^ $(LIBRARY) $(LIBS) -o $@

# The sessions' fuzzers need what their unit tests share; it stands behind the library, which is
# named again.
$(B)/fuzz/session_fuzz $(B)/fuzz/session_replay $(B)/fuzz/h2_fuzz $(B)/fuzz/h2_replay: $(B)/tests/unit/plane/plane.o
# The plan's is compared with the reference evaluator.
$(B)/fuzz/plan_fuzz $(B)/fuzz/plan_replay $(B)/fuzz/batch_fuzz $(B)/fuzz/batch_replay: \
	$(B)/tests/conformance/differ_plan.o $(B)/tests/conformance/differ_compare.o $(REFERENCE)

-include $(shell find $(B) -name '*.d' 2>/dev/null)

# ---- running --------------------------------------------------------------------------------

demo-binaries: all $(B)/audit-bench $(if $(DEMO_SOURCES),$(B)/demo-backend)

run: ## install what is missing, build, and leave the gateway with its demo in the foreground
	@$(MAKE) --no-print-directory deps LIST=run
	@$(MAKE) --no-print-directory demo-binaries VARIANT=release
	@exec tests/demo/demo.sh run

demo: ## the same, but check every row the demo prints and exit with 0 or 1
	@$(MAKE) --no-print-directory deps LIST=run
	@$(MAKE) --no-print-directory demo-binaries VARIANT=release
	@exec tests/demo/demo.sh check

install: ## install the release build below PREFIX (DESTDIR is honoured)
	@$(MAKE) --no-print-directory all VARIANT=release
	install -D -m 755 $(BUILD)/release/sallyport $(DESTDIR)$(PREFIX)/sbin/sallyport
	@packaging/install-pages $(BUILD)/release/sallyport "$(DESTDIR)$(PREFIX)/share"

deps: ## say which Debian packages of LIST="run test bench dev" are missing, and install them
	@packaging/deps/install $(or $(LIST),run)

clean: ## remove build/
	rm -rf $(BUILD)

# ---- testing --------------------------------------------------------------------------------

test: ## install what is missing, then every check: layers, format, words, unit, replay, e2e, docs
	@$(MAKE) --no-print-directory deps LIST="run test"
	@VARIANT=debug MAKE="$(MAKE)" tests/all.sh

unit: ## unit tests, with the sanitizers (VARIANT=tsan for the threaded ones; T=path for one)
	@$(MAKE) --no-print-directory unit-binaries VARIANT=$(CHECKED)
	@tests/unit.sh $(BUILD)/$(CHECKED) $(UNITS)

unit-binaries: $(UNITS:%=$(B)/%)

replay: ## every fuzz corpus through its harness, built by gcc with the sanitizers
	@$(MAKE) --no-print-directory replay-binaries VARIANT=debug
	@fuzz/run.sh replay $(HARNESSES)

replay-binaries: $(HARNESSES:%=$(B)/fuzz/%_replay)

fuzz: ## fuzz for S=60 seconds a harness: T=head for one; R=1000000 runs instead of seconds
	@$(MAKE) --no-print-directory deps LIST="run dev"
	@$(MAKE) --no-print-directory fuzz-binaries VARIANT=fuzz HARNESSES="$(or $(T),$(HARNESSES))"
	@S=$(S) R=$(R) fuzz/run.sh fuzz $(or $(T),$(HARNESSES))

fuzz-binaries: $(HARNESSES:%=$(B)/fuzz/%_fuzz)

# Most of them wait most of the time. J=0: one after the other, in one process.
J ?= $(if $(K),0,3)
e2e: ## end-to-end tests against the debug build (K=expression for pytest -k, J=processes)
	@$(MAKE) --no-print-directory demo-binaries VARIANT=debug
	@packaging/deps/unpack crowdsec
	@SALLYPORT=$(BUILD)/debug/sallyport PYTHON=$(PYTHON) tests/e2e.sh $(J) '$(K)'

test-idp: ## sign-in against npm's oidc-provider, which npm fetches: flow, renewal, new keys, both logouts
	@command -v npm >/dev/null || { echo "test-idp needs npm and node: apt-get install npm"; exit 1; }
	@$(MAKE) --no-print-directory demo-binaries VARIANT=debug
	@mkdir -p $(BUILD)/idp
	@npm install --prefix $(BUILD)/idp --no-audit --no-fund --silent oidc-provider@9
	@SALLYPORT=$(BUILD)/debug/sallyport IDP_MODULES=$(abspath $(BUILD)/idp) \
		$(PYTHON) -m pytest -q -p no:cacheprovider tests/idp

e2e-replay: ## the same, and every decision of every gateway has to come out alike once more
	@SALLYPORT_REPLAY=1 $(MAKE) --no-print-directory e2e

e2e-explain: ## the same, and `explain` of the bytes of every request has to say what was decided
	@SALLYPORT_EXPLAIN=1 $(MAKE) --no-print-directory e2e

language-tests: ## SecLang's operator and transformation cases in DATA=folder (outside of the tree)
	@$(MAKE) --no-print-directory $(BUILD)/debug/language-tests VARIANT=debug
	@$(BUILD)/debug/language-tests "$(DATA)"

bench: ## compare with nginx and HAProxy in one run, and print the ratios
	@$(MAKE) --no-print-directory deps LIST="run bench"
	@$(MAKE) --no-print-directory demo-binaries VARIANT=release
	@exec tests/bench/run

# CRS: the folder of the rules or the one above; SETUP: its crs-setup.conf; TESTS: its FTW tests.
CRS ?= /usr/share/modsecurity-crs
CONFORM = $(PYTHON) tests/conformance/run --crs "$(CRS)" $(if $(SETUP),--setup "$(SETUP)") \
	--tests "$(TESTS)" $(if $(FAILURES),--failures "$(FAILURES)") $(if $(ONLY),--only "$(ONLY)")
conformance: ## the Core Rule Set's own tests through the gateway: CRS=folder TESTS=folder (FAILURES=file, ONLY=pattern)
	@$(MAKE) --no-print-directory deps LIST="run test"
	@$(MAKE) --no-print-directory all VARIANT=release
	@$(CONFORM) --gateway $(BUILD)/release/sallyport

conformance-reference: ## the same through the reference evaluator alone, without the gateway
	@$(MAKE) --no-print-directory $(BUILD)/release/ftw-driver VARIANT=release
	@$(CONFORM) --driver $(BUILD)/release/ftw-driver

conformance-modsecurity: ## the same through libmodsecurity
	@$(MAKE) --no-print-directory $(BUILD)/release/modsec-driver VARIANT=release
	@$(CONFORM) --driver $(BUILD)/release/modsec-driver

differ-check: ## plan and reference evaluator over a small rule set and mutants of it, sanitized
	@$(MAKE) --no-print-directory $(BUILD)/debug/differ VARIANT=debug
	@$(PYTHON) tests/conformance/differ_run --binary $(BUILD)/debug/differ --requests 3000 \
		--plain 2 --mutants 6 tests/conformance/small.conf

N ?= 20000
M ?= 8
differ: ## N=20000 generated requests through plan and reference evaluator, with CRS and M=8 mutants of it
	@$(MAKE) --no-print-directory $(BUILD)/release/differ VARIANT=release
	@$(PYTHON) tests/conformance/differ_run --binary $(BUILD)/release/differ --crs "$(CRS)" \
		$(if $(SETUP),--setup "$(SETUP)") --requests $(N) --mutants $(M) $(if $(SEED),--seed $(SEED))

conformance-compare: ## the same requests through both evaluators, and what only one of them logs
	@$(MAKE) --no-print-directory $(BUILD)/release/ftw-driver $(BUILD)/release/modsec-driver VARIANT=release
	@$(PYTHON) tests/conformance/compare --crs "$(CRS)" $(if $(SETUP),--setup "$(SETUP)") \
		--tests "$(TESTS)" --ours $(BUILD)/release/ftw-driver --theirs $(BUILD)/release/modsec-driver

rules-micro: ## nanoseconds per value of transformations, detection and word lists
	@$(MAKE) --no-print-directory $(BUILD)/release/rules-micro VARIANT=release
	@$(BUILD)/release/rules-micro

bench-waf: ## CPU of requests that the Core Rule Set inspects, against plain nginx in the same run
	@$(MAKE) --no-print-directory all VARIANT=release
	@$(PYTHON) tests/bench/waf.py $(BUILD)/release/sallyport

bench-start: ## milliseconds from the start to the first answer, with the Core Rule Set from the cache: OTHERS="programs" take turns with ours
	@$(MAKE) --no-print-directory all VARIANT=release
	@$(PYTHON) tests/bench/start.py --cold --reload $(BUILD)/release/sallyport $(OTHERS)

bench-audit: ## CPU of one audit record in the worker and in the recorder
	@$(MAKE) --no-print-directory $(BUILD)/release/audit-bench VARIANT=release
	@$(BUILD)/release/audit-bench cost

incident: ## what one address did among R=1000000 mixed records: found in order, and exported as evidence
	@$(MAKE) --no-print-directory all $(BUILD)/release/audit-bench VARIANT=release
	@$(PYTHON) tests/bench/incident.py $(BUILD)/release $(or $(R),1000000)

soak-audit: ## KILLS=20 processes killed under load: every answer on record, the chain whole, losses told
	@$(MAKE) --no-print-directory deps LIST="run test bench"
	@$(MAKE) --no-print-directory all $(BUILD)/release/asker VARIANT=release
	@SALLYPORT=$(BUILD)/release/sallyport $(PYTHON) tests/bench/kills.py --kills $(or $(KILLS),20)

bench-flood: ## what a flood of 100,000 blocked requests costs good ones
	@$(MAKE) --no-print-directory deps LIST="run test bench"
	@$(MAKE) --no-print-directory all $(BUILD)/release/asker VARIANT=release
	@SALLYPORT=$(BUILD)/release/sallyport $(PYTHON) tests/bench/flood_cost.py

bench-search: ## searches in a log of GB=10 gigabytes, which needs 12 on the disk while it is made
	@$(MAKE) --no-print-directory all $(BUILD)/release/audit-bench VARIANT=release
	@$(PYTHON) tests/bench/search_big.py $(BUILD)/release $(or $(GB),10)

bench-limits: ## what a decision of a limit costs, alone and through a redis-server of its own, against the bars: T=local, exact or lease; T=cluster: through a Redis Cluster; T=count: in instructions
	@$(MAKE) --no-print-directory deps LIST="run test"
	@$(MAKE) --no-print-directory $(BUILD)/release/bench-limits VARIANT=release
	@tests/bench/shield.sh tests/bench/limits.sh $(BUILD)/release/bench-limits $(T)

bench-limits-faults: ## limits of two gateways while their Redis is stopped, killed, slow, or fails over, against the bars: T=name for one
	@$(MAKE) --no-print-directory deps LIST="run test"
	@$(MAKE) --no-print-directory all VARIANT=release
	@SALLYPORT=$(BUILD)/release/sallyport tests/bench/shield.sh $(PYTHON) tests/bench/limits_faults.py $(T)

bench-auth: ## tokens and sessions, what bad logins cost others, and whether the time of a refusal tells a name
	@$(MAKE) --no-print-directory deps LIST="run test bench"
	@$(MAKE) --no-print-directory all $(BUILD)/release/bench-auth $(BUILD)/release/asker VARIANT=release
	@$(BUILD)/release/bench-auth
	@SALLYPORT=$(BUILD)/release/sallyport $(PYTHON) tests/bench/logins.py flood
	@SALLYPORT=$(BUILD)/release/sallyport $(PYTHON) tests/bench/logins.py time

bench-geo: ## nanoseconds of a look-up in DATABASES="a.mmdb b.mmdb" together; without, in one made of tor-geoipdb
	@$(MAKE) --no-print-directory all $(BUILD)/release/bench-geo VARIANT=release
	@$(if $(DATABASES),,$(BUILD)/release/sallyport geoip build --to $(BUILD)/release/geo.mmdb)
	@$(BUILD)/release/bench-geo $(or $(DATABASES),$(BUILD)/release/geo.mmdb)

bench-abuse: ## what floods of HTTP/2 and TLS cost others: F="rapid_reset tls_update" for some
	@$(MAKE) --no-print-directory deps LIST="run test bench"
	@$(MAKE) --no-print-directory all $(BUILD)/release/tlsflood VARIANT=release
	@tests/bench/floods.py $(F)

bench-bulk: ## what the worker grows by while 1 GiB goes down and up: R=bytes
	@$(MAKE) --no-print-directory all VARIANT=release
	@SALLYPORT=$(BUILD)/release/sallyport $(PYTHON) tests/bench/bulk.py $(R)

bench-lists: ## reading, building and looking up an address list of 1.2 million prefixes
	@$(MAKE) --no-print-directory $(BUILD)/release/bench-lists VARIANT=release
	@$(BUILD)/release/bench-lists

bench-lists-reload: ## a list of 1.2 million prefixes is changed while requests go on
	@$(MAKE) --no-print-directory all VARIANT=release
	@SALLYPORT=$(BUILD)/release/sallyport $(PYTHON) tests/bench/lists_reload.py

bench-bots: ## CPU time that `bots` takes of a request: off, with scores, with challenges
	@$(MAKE) --no-print-directory all VARIANT=release
	@SALLYPORT=$(BUILD)/release/sallyport $(PYTHON) tests/bench/bots.py

geo-data: ## the MMDB files of DATA=folder (test-data and bad-data, outside of the tree) through the check
	@MMDB_DATA="$(DATA)" $(MAKE) --no-print-directory unit T=tests/unit/geoip/geofile_test

cover: ## line coverage of the unit tests and the corpora, in build/cover/report.txt
	@$(MAKE) --no-print-directory unit-binaries replay-binaries VARIANT=cover
	@tests/cover.sh $(UNITS)

# ---- reading --------------------------------------------------------------------------------

layers: ## includes point down the layers only
	@$(PYTHON) tests/layers.py

words: ## no banned function, no unfinished business
	@tests/banned.sh

C_FILES = $(shell find $(FOLDERS) tests fuzz -name '*.[ch]' | sort)
format-check:
	@echo $(C_FILES) | xargs -n 64 -P "$$(nproc)" clang-format-14 --dry-run -Werror

format: ## lay out all tracked C files
	clang-format-14 -i $(C_FILES)

docs-check: ## the generated pages agree with the binary
	@if [ -x tests/docs.sh ]; then SALLYPORT=$(BUILD)/debug/sallyport tests/docs.sh; fi

# A file is looked at again when it, a header of it or the checks changed.
LINTED := $(SOURCES:%.c=$(BUILD)/lint/%.tidy)
LINT_CFLAGS := -std=gnu17 -D_GNU_SOURCE -I. -mcx16 -msse4.2
$(BUILD)/lint/%.tidy: %.c .clang-tidy
	@mkdir -p $(@D)
	@echo 'TIDY $<'
	$(Q)clang-tidy --quiet $< -- $(LINT_CFLAGS) 2>/dev/null
	$(Q)$(CC) $(LINT_CFLAGS) -MM -MP -MT $@ -MF $@.d $<
	@touch $@

-include $(shell find $(BUILD)/lint -name '*.d' 2>/dev/null)

lint-tidy: $(LINTED)

# cppcheck's parser stumbles over compound literals behind a question mark (internalAstError),
# and it does not see that refuse() of a generation does not return.
lint: ## clang-tidy and cppcheck
	@$(MAKE) --no-print-directory deps LIST="run dev"
	@$(MAKE) --no-print-directory -k lint-tidy
	@cppcheck --quiet -j "$$(nproc)" --std=c11 -I. -D__x86_64__ --error-exitcode=1 \
		--enable=warning,portability --inline-suppr --suppress=missingIncludeSystem \
		--suppress=internalAstError --include=tests/cppcheck.h \
		--suppress='nullPointerRedundantCheck:gateway/process/generation_*' $(FOLDERS)

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-24s %s\n", $$1, $$2 }' Makefile
	@echo 'make and git are all that must be there before: run and test install the rest by apt.'

FORCE:
conformance_targets := conformance conformance-reference conformance-modsecurity \
	conformance-compare differ differ-check
.PHONY: $(conformance_targets) all run demo demo-binaries install deps clean test unit unit-binaries replay \
	replay-binaries fuzz fuzz-binaries e2e test-idp language-tests bench bench-audit bench-geo bench-lists bench-lists-reload bench-bots bench-limits bench-limits-faults bench-auth \
	bench-bulk bench-abuse bench-flood bench-search bench-start soak-audit e2e-explain geo-data incident rules-micro cover layers words format-check format \
	docs-check lint lint-tidy help FORCE
